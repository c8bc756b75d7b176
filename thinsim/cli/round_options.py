"""`rounds_option` and `most_rounds_option` set how often ``baseline save`` and ``ci`` run a scenario."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])
_MORE = 2
_MOST = 12
"""By default, a scenario runs up to this many times as often as planned, and at least twelve times."""


def rounds_option(default: int) -> Callable[[_Command], _Command]:
    """Add ``--rounds`` with its *default*."""
    return click.option(
        "--rounds",
        type=click.IntRange(1),
        default=default,
        show_default=True,
        help="Run each scenario this many times.",
    )


most_rounds_option = click.option(
    "--most-rounds",
    "most",
    type=click.IntRange(1),
    help="Run a scenario up to this many times if its discards take too different times for a verdict. "
    f"Default: {_MOST}, or {_MORE} times --rounds.",
)


def most_rounds(rounds: int, most: int | None) -> int:
    """Return the largest number of rounds. A usage error if *most* is less than *rounds*."""
    if most is None:
        return max(_MORE * rounds, _MOST)
    if most < rounds:
        raise click.BadParameter(f"{most} is less than --rounds {rounds}", param_hint="--most-rounds")
    return most
