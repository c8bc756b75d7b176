"""``thinsim bench`` and ``thinsim compare`` share the options and the files of their results."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from thinsim.benchmark.significance import LEAST_EFFECT
from thinsim.benchmark.verdicts import Compared
from thinsim.cli.output_path import STDOUT, OutputPath
from thinsim.errors import EnvironmentLacksError

_Command = TypeVar("_Command", bound=Callable[..., Any])
_PLOTS = (".svg", ".png", ".pdf")
_STDOUT_HELP = "- writes to stdout instead of the table."

Drawing = Callable[[Sequence[Compared], str, Path], None]


def file_option(name: str, what: str) -> Callable[[_Command], _Command]:
    """Add the option *name*, which writes *what* to a file, as the parameter *name*_path."""
    return click.option(
        f"--{name}",
        f"{name}_path",
        type=OutputPath(allow_dash=True),
        help=f"Write {what} to this file; {_STDOUT_HELP}",
    )


def plot_option(command: _Command) -> _Command:
    """Add ``--plot``, the parameter *plot*."""
    return click.option(
        "--plot",
        type=OutputPath(),
        help="Draw the ratios in this file, an .svg, .png or .pdf. Needs pip install 'thinsim[bench]'.",
    )(command)


class _Percent(click.FloatRange):
    """A `_Percent` reads a number, with or without a percent sign."""

    name = "number of percent"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        text: Any = value.removesuffix("%").strip() if isinstance(value, str) else value
        return float(super().convert(text, parameter, context))


def least_effect_option(command: _Command) -> _Command:
    """Add ``--least-effect``, in percent, as the parameter *least_effect*."""
    return click.option(
        "--least-effect",
        type=_Percent(1, 1000),
        metavar="PERCENT",
        default=f"{LEAST_EFFECT * 100:g}",
        show_default=True,
        help="Call only a larger change better or worse.",
    )(command)


def schema_option(of: Callable[[], dict[str, Any]]) -> Callable[[_Command], _Command]:
    """Add ``--schema``, which prints the schema of the ``--json`` document and ends the command."""

    def shown(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
        if wanted:
            click.echo(json.dumps(of(), indent=1))
            context.exit()

    return click.option(
        "--schema",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=shown,
        help="Print the JSON schema of the --json document and end.",
    )


def write_results(
    documents: Sequence[tuple[Path | None, Callable[[], str]]], table: Callable[[], None]
) -> None:
    """Print the table unless a document goes to standard output, then write each document that has a path."""
    if STDOUT not in (path for path, _ in documents):
        table()
    for path, text in documents:
        if path == STDOUT:
            click.echo(text().rstrip("\n"))
        elif path is not None:
            path.write_text(text().rstrip("\n") + "\n")


def drawing(path: Path | None) -> Drawing | None:
    """Return the function that draws a chart, or None without a path.

    A missing package is an error here, before hours of measuring.
    """
    if path is None:
        return None
    if path.suffix not in _PLOTS:
        reason = f"'{path}': the name of the file must end in {', '.join(_PLOTS[:-1])} or {_PLOTS[-1]}."
        raise click.BadParameter(reason, param_hint="'--plot'")
    try:
        from thinsim.benchmark.chart import comparison_chart  # noqa: PLC0415 (optional, and slow to load)
    except ModuleNotFoundError as error:
        raise EnvironmentLacksError(
            f"--plot needs the package {error.name}: pip install 'thinsim[bench]'"
        ) from error
    return comparison_chart
