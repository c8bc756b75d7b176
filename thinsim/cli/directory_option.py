"""`directory_option` gives a command the option for the directory of the pool's files, and checks it."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from thinsim.rig.probes import HOLE_PUNCHING
from thinsim.rig.registry import RIGS

_Words = ParamSpec("_Words")
_Status = TypeVar("_Status")


def directory_option(command: Callable[_Words, _Status]) -> Callable[_Words, _Status]:
    """Add ``--dir``, the parameter *directory*.

    The command ends with a usage error before its work begins if the directory is not there, not writable, or
    on a file system that cannot punch holes. The files of a rig in a guest need no holes.
    """

    @wraps(command)
    def checked(*words: _Words.args, **options: _Words.kwargs) -> _Status:
        directory = options["directory"]
        in_guest = {each.name for each in RIGS if each.running is None}
        if isinstance(directory, Path):
            _check(directory, holes=in_guest.isdisjoint((options.get("rig"), options.get("side"))))
        return command(*words, **options)

    return click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path),
        help="Put the pool's files in this directory. Its file system must punch holes and report the freed "
        "space: ext4, xfs, tmpfs, or btrfs as root. Default: the temporary directory.",
    )(checked)


def _check(directory: Path, *, holes: bool) -> None:
    shown = repr(str(directory))
    if not directory.is_dir():
        raise _refusal(f"{shown} is not a directory; create it first.")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise _refusal(f"{shown} is not writable.")
    for finding in HOLE_PUNCHING.look(directory) if holes else ():
        if not finding.present:
            fix = finding.fix.removesuffix(": --dir")
            raise _refusal(f"{shown} cannot hold the pool's files: hole punching: {finding.detail}; {fix}.")


def _refusal(text: str) -> click.BadParameter:
    return click.BadParameter(text, param_hint="'--dir'")
