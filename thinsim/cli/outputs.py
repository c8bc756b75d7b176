"""`conclude` writes a report to standard output and into files, and returns the command's exit status."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from thinsim.cli.leak_limit import exceeds
from thinsim.cli.output_console import output_console
from thinsim.cli.output_path import STDOUT, OutputPath
from thinsim.cli.statuses import BROKEN, DONE, LEAKED
from thinsim.report.document import Report, to_json
from thinsim.report.junit import junit
from thinsim.report.report_table import print_report

_PATH = OutputPath(allow_dash=True)


@dataclass(frozen=True, slots=True)
class Outputs:
    """An `Outputs` has the files of the command line; ``-`` is standard output, None means no document."""

    json: Path | None
    junit: Path | None
    html: Path | None

    @property
    def named(self) -> dict[str, Path]:
        """Return the paths that the command line has, by option."""
        paths = {"--json": self.json, "--junit": self.junit, "--html": self.html}
        return {option: path for option, path in paths.items() if path is not None}


def output_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add ``--json``, ``--junit`` and ``--html`` to a command, which gets them as the parameter *outputs*."""

    @wraps(command)
    def with_outputs(
        *, json_path: Path | None, junit_path: Path | None, html_path: Path | None, **others: Any
    ) -> int:
        return command(outputs=Outputs(json_path, junit_path, html_path), **others)

    for name, what in (("html", "one self-contained page"), ("junit", "JUnit XML"), ("json", "JSON")):
        with_outputs = click.option(
            f"--{name}",
            f"{name}_path",
            type=_PATH,
            help=f"Write {what} to this file; - writes to stdout instead of the table.",
        )(with_outputs)
    return with_outputs


def write_outputs(report: Report, outputs: Outputs, fail_on_leak: int | None = None) -> None:
    """Write each document that has a path. Print the table unless a document goes to standard output."""
    texts: dict[str, Callable[[], str]] = {
        "--json": lambda: to_json(report),
        "--junit": lambda: junit(report, fail_on_leak),
        "--html": lambda: _page(report),
    }
    for option, path in outputs.named.items():
        text = texts[option]().rstrip("\n")
        if path == STDOUT:
            click.echo(text)
        else:
            path.write_text(text + "\n")
    if STDOUT not in outputs.named.values():
        print_report(output_console(), report)


def conclude(report: Report, outputs: Outputs, fail_on_leak: int | None, failure: Exception | None) -> int:
    """Write the outputs of a run and return the exit status: of leaks, then of asserts that do not hold.

    A run that ended early has its outputs as well; then *failure* is raised.
    """
    write_outputs(report, outputs, fail_on_leak)
    if report.kept is not None:
        click.echo(f"kept: {report.kept}", err=True)
    if failure is not None:
        raise failure
    if exceeds(report, fail_on_leak):
        return LEAKED
    for variant, outcome in report.broken:
        click.echo(
            f"thinsim: {variant}: {outcome.phase}: assert {outcome.asserted} does not hold: "
            f"found {outcome.found}",
            err=True,
        )
    return BROKEN if report.broken else DONE


def _page(report: Report) -> str:
    from thinsim.report.html.page import render  # noqa: PLC0415 (only where a page is wanted)

    return render(report)
