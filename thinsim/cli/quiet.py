"""`quiet_option` gives a long command ``--quiet``, and `note` prints a line that this option suppresses."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def quiet_option(command: _Command) -> _Command:
    """Add ``--quiet``. The command needs no parameter for it: `is_quiet` returns the choice."""
    return click.option(
        "--quiet",
        "-q",
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="Print no progress. Warnings, errors and results remain.",
    )(command)


def is_quiet() -> bool:
    """Return whether the command line that is being carried out has ``--quiet``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(__name__))


def note(text: str) -> None:
    """Print *text* to standard error, unless the command is quiet."""
    if not is_quiet():
        click.echo(text, err=True)


def _remember(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    context.meta[__name__] = wanted
