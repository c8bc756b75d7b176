"""Gives a command the option that says what a pool stands on."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from thinsim.rig.registry import AUTO

_Command = TypeVar("_Command", bound=Callable[..., Any])


def rig_option(rigs: Sequence[str]) -> Callable[[_Command], _Command]:
    """Add ``--rig``: ``auto``, the default, or one of *rigs*."""
    return click.option(
        "--rig",
        type=click.Choice([AUTO, *rigs]),
        default=AUTO,
        show_default=True,
        help="What the pool stands on; auto: the most real that this machine has (thinsim doctor).",
    )
