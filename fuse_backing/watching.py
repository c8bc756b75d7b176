"""`watch` shows counts again and again: a live view on a terminal, otherwise a line per interval."""

import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import click
import trio

from fuse_backing.columns import terminal_width
from fuse_backing.display import cells_of, moment
from fuse_backing.latency_display import interval_of
from fuse_backing.store_client import StoreCounts, StoreLatencies

_Counts = TypeVar("_Counts")

DEFAULT_INTERVAL = 1.0
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class CountView(Generic[_Counts]):
    """A `CountView` has the forms in which counts are shown."""

    look: Callable[[], Awaitable[_Counts]]
    """Ask the server."""
    document: Callable[[_Counts], dict[str, object]]
    """Return the JSON object of counts."""
    lines: Callable[[_Counts, int | None], list[str]]
    """Return all counts as lines of at most so many columns."""
    interval: Callable[[_Counts, _Counts], str]
    """Return what happened between two looks, in one line."""


async def show(view: CountView[_Counts], *, as_json: bool) -> None:
    """Print the counts once."""
    found = await view.look()
    for line in [json.dumps(view.document(found))] if as_json else view.lines(found, terminal_width()):
        click.echo(line)


async def watch(view: CountView[_Counts], seconds: float, *, as_json: bool) -> None:
    """Show the counts every *seconds* until cancelled or interrupted."""
    if as_json:
        while True:
            click.echo(json.dumps(view.document(await view.look())))
            await trio.sleep(seconds)
    if sys.stdout.isatty():
        with _screen() as show_lines:
            while True:
                show_lines(view.lines(await view.look(), terminal_width()))
                await trio.sleep(seconds)
    before = await view.look()
    while True:
        await trio.sleep(seconds)
        now = await view.look()
        click.echo(view.interval(before, now))
        before = now


@contextmanager
def _screen() -> Iterator[Callable[[list[str]], None]]:
    """Yield a function that replaces the lines which it showed before."""
    # Only a terminal needs these modules, which are slow to import.
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    with Live(console=Console(), auto_refresh=False) as live:
        yield lambda lines: live.update(Text("\n".join(lines), no_wrap=True, overflow="ignore"), refresh=True)


def statistics_interval(before: StoreCounts, now: StoreCounts) -> str:
    """Return the sums over the events between two looks, in one line."""
    # After a reset between the two, the later sums alone are those of the interval.
    change = now.totals - before.totals if before.since == now.since else now.totals
    return moment(now.read) + "".join(f" {title} {cell}" for title, cell in cells_of(change).items())


def latency_interval(before: StoreLatencies, now: StoreLatencies, operation: str | None) -> str:
    """Return the latencies of the requests between two looks, or of one *operation*, in one line."""
    earlier = before.operations if before.since == now.since else {}
    later = {name: each for name, each in now.operations.items() if operation in (None, name)}
    return f"{moment(now.read)} {interval_of(earlier, later)}"
