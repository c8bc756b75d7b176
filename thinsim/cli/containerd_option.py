"""`containerd_option` adds ``--containerd``, for the directories of builds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])


def containerd_option(needs: str) -> Callable[[_F], _F]:
    """Return the decorator; the command gets *containerd*, a tuple of paths. *needs* names other options."""
    return click.option(
        "--containerd",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        multiple=True,
        metavar="DIRECTORY",
        help="Use the containerd, ctr and shim of this directory, and its runc if it has one. Repeat it to "
        f"compare builds. Needs {needs}. Default: the installed containerd.",
    )
