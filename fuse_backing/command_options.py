"""`control_option` and the other decorators add the options that several commands have."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

PATH = click.Path(path_type=Path)
LEAST_INTERVAL = 0.1
"""Shortest interval of ``--watch``, in seconds."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def control_option(command: _Command) -> _Command:
    """Add ``--control``, the parameter *control*."""
    return click.option(
        "--control",
        type=PATH,
        metavar="SOCKET",
        help="Use this control socket of the server. Default: the usual one for MOUNTPOINT.",
    )(command)


def watch_option(command: _Command) -> _Command:
    """Add ``--watch``, the parameter *watch*, to a `WatchCommand`: the seconds, None without the option."""
    return click.option(
        "--watch",
        type=click.FloatRange(min=LEAST_INTERVAL, max=86400),
        metavar="[SECONDS]",
        help="Show the counts every SECONDS, by default 1, until Ctrl-C. Without a terminal, print one line "
        "about each interval.",
    )(command)


def since_mount_option(command: _Command) -> _Command:
    """Add ``--since-mount``, the parameter *since_mount*."""
    return click.option(
        "--since-mount", is_flag=True, help="Count from the mount on, even if there was a reset."
    )(command)


def file_option(command: _Command) -> _Command:
    """Add ``--file``, the parameter *file*: a pattern of paths in the store."""
    return click.option(
        "--file",
        metavar="PATTERN",
        default="*",
        help="Show only the file with this path in the store, or those that this shell pattern matches, such "
        "as 'images/disk*'. A star also matches a slash.",
    )(command)


JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


class WatchCommand(click.Command):
    """A `WatchCommand` has an option ``--watch`` whose value may be left out, even before an argument."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default interval after a ``--watch`` that no number follows."""
        end = args.index("--") if "--" in args else len(args)
        for place in range(end - 1, -1, -1):
            if args[place] == "--watch" and not _is_number(args[place + 1 : end][:1]):
                args.insert(place + 1, "1")
        return super().parse_args(ctx, args)


def _is_number(words: list[str]) -> bool:
    try:
        return any(math.isfinite(float(word)) for word in words)
    except ValueError:
        return False
