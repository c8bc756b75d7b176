"""`rig_option` gives a command the option for its rig."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from thinsim.rig.registry import AUTO

_EXPLAINED = {
    "kernel": "this kernel's dm-thin, as root",
    "emulated": "the emulated dm-thin on FUSE and loop devices, as root",
    "process": "the engine on one sparse file, without root and mounts",
    "vm": "the kernel's dm-thin in a virtual machine",
    AUTO: "the first of kernel, emulated and process that works here (thinsim doctor lists what is missing)",
}

_Command = TypeVar("_Command", bound=Callable[..., Any])


def rig_option(
    rigs: Sequence[str], *, explained_default: str | None = None
) -> Callable[[_Command], _Command]:
    """Add ``--rig``: ``auto``, the default, which *explained_default* explains, or one of *rigs*."""
    return click.option(
        "--rig",
        type=click.Choice([AUTO, *rigs]),
        default=AUTO,
        show_default=explained_default or True,
        help=rig_help([AUTO, *rigs]),
    )


def rig_help(rigs: Iterable[str]) -> str:
    """Return the help of ``--rig`` with an explanation of each of *rigs*."""
    explained = " ".join(f"{rig}: {_EXPLAINED[rig]}." for rig in rigs if rig in _EXPLAINED)
    return f"Choose the rig that provides the pool. {explained}"
