"""Totals and events as text for people, or as JSON for programs."""

import errno
import json
import time
from contextlib import aclosing

import click

from fuse_backing.ledger import Missed, PunchEvent, Totals
from fuse_backing.store import StoreClient

_COLUMNS = ("events", "punched_bytes", "zeroed_bytes", "allocated", "freed", "errors")
_TITLES = ("events", "punched", "zeroed", "allocated", "freed", "errors")


async def show_stats(client: StoreClient, as_json: bool) -> None:
    """Print the totals in all and by file, in bytes."""
    totals, files = await client.totals(), await client.totals_by_file()
    if as_json:
        by_file = {file: each.to_json() for file, each in files.items()}
        click.echo(json.dumps({"totals": totals.to_json(), "files": by_file}))
        return
    rows: list[tuple[str, ...]] = [("file", *_TITLES)]
    rows += [(_shown(file), *_cells(each)) for file, each in sorted(files.items())]
    rows.append(("all", *_cells(totals)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)),
        ]
        click.echo("  ".join(cells))


async def show_events(client: StoreClient, since: int, follow: bool, as_json: bool) -> None:
    """Print events, one a line, each as it comes."""
    if not follow:
        for event in await client.events(since):
            click.echo(json.dumps(event.to_json()) if as_json else _line(event))
        return
    async with aclosing(client.follow(since)) as items:
        async for item in items:
            if isinstance(item, Missed):
                missed = f"... {item.count} events are lost: the server keeps only the last ones"
                click.echo(json.dumps({"missed": item.count}) if as_json else missed)
            else:
                click.echo(json.dumps(item.to_json()) if as_json else _line(item))


def _cells(totals: Totals) -> tuple[str, ...]:
    return tuple(str(getattr(totals, column)) for column in _COLUMNS)


def _line(event: PunchEvent) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(event.time)) + f"{event.time % 1:.3f}"[1:]
    outcome = errno.errorcode.get(event.errno, str(event.errno)) if event.errno else f"freed {event.freed}"
    return (
        f"{event.sequence} {moment} {event.operation} {_shown(event.file)} offset {event.offset} "
        f"length {event.length} allocated {event.allocated} {outcome} {event.duration * 1000:.3f} ms"
    )


def _shown(name: str) -> str:
    """Return a file name that a terminal can show: no control characters, no broken UTF-8."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
