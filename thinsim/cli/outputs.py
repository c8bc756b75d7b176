"""`write_outputs` writes a report to standard output and into files, as a table or as a document."""

from collections.abc import Callable
from pathlib import Path

import click

from thinsim.cli.output_console import output_console
from thinsim.cli.output_path import STDOUT, OutputPath
from thinsim.report.document import Report, to_json
from thinsim.report.junit import junit
from thinsim.report.scenario_table import print_report

_PATH = OutputPath(allow_dash=True)


def output_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add ``--json``, ``--junit`` and ``--html`` to a command."""
    for name, what in (("html", "one self-contained page"), ("junit", "JUnit XML"), ("json", "JSON")):
        command = click.option(
            f"--{name}",
            f"{name}_path",
            type=_PATH,
            help=f"Write {what} to this file; - writes to stdout instead of the table.",
        )(command)
    return command


def write_outputs(
    report: Report,
    *,
    json_path: Path | None,
    junit_path: Path | None,
    html_path: Path | None,
    fail_on_leak: int | None = None,
) -> None:
    """Write each document that has a path. Print the table unless a document goes to standard output."""
    wanted: list[tuple[Path | None, Callable[[], str]]] = [
        (json_path, lambda: to_json(report)),
        (junit_path, lambda: junit(report, fail_on_leak)),
        (html_path, lambda: _page(report)),
    ]
    for path, text in wanted:
        if path == STDOUT:
            click.echo(text().rstrip("\n"))
        elif path is not None:
            path.write_text(text().rstrip("\n") + "\n")
    if STDOUT not in (path for path, _ in wanted):
        print_report(output_console(), report)


def _page(report: Report) -> str:
    from thinsim.report.html.page import render  # noqa: PLC0415 (only where a page is wanted)

    return render(report)
