"""These functions print a server's answers, as text for people or as JSON for programs."""

import errno
import json
import time
from contextlib import aclosing
from dataclasses import asdict
from functools import partial

import click

from fuse_backing import picture
from fuse_backing.allocation import Extent, merged, total
from fuse_backing.events import LedgerEvent, Missed, Totals
from fuse_backing.store_client import StoreClient

_COLUMNS = ("events", "punched_bytes", "zeroed_bytes", "allocated", "freed", "errors", "faults")
_NAMING = ("action", "operation")
_TITLES = ("events", "punched", "zeroed", "allocated", "freed", "errors", "faults")


async def show_stats(client: StoreClient, as_json: bool) -> None:
    """Print the totals, overall and by file, in bytes."""
    totals, files, info = await client.totals(), await client.totals_by_file(), await client.ping()
    if as_json:
        by_file = {file: each.to_json() for file, each in files.items()}
        document: dict[str, object] = {"totals": totals.to_json(), "files": by_file}
        if not info.freed_is_measured:
            document["freed_is_measured"] = False
        click.echo(json.dumps(document))
        return
    rows: list[tuple[str, ...]] = [("file", *_TITLES)]
    rows += [(_shown(file), *_cells(each)) for file, each in sorted(files.items())]
    rows.append(("all", *_cells(totals)))
    _table(rows)
    if not info.freed_is_measured:
        click.echo(info.host_remark)


def show_map(size: int, extents: list[Extent], as_json: bool) -> None:
    """Print the allocated ranges and holes of a file of *size* bytes, and a map of them."""
    ranges = _alternating(size, extents)
    allocated = total(merged((extent.start, extent.end) for extent in extents))
    if as_json:
        found = [
            {"start": start, "end": end, "allocated": held, "shared": shared}
            for start, end, held, shared in ranges
        ]
        click.echo(json.dumps({"size": size, "allocated": allocated, "ranges": found}))
        return
    click.echo(f"size {size}, allocated {allocated}")
    _table(
        [
            ("start", "end", "length", "what"),
            *(
                (str(start), str(end), str(end - start), _what(held, shared))
                for start, end, held, shared in ranges
            ),
        ]
    )
    for line in picture.shaded(size, merged((extent.start, extent.end) for extent in extents)):
        click.echo(line)


async def show_histogram(client: StoreClient, file: str | None, as_json: bool) -> None:
    """Print the freed bytes by time, or by offset in *file*."""
    began = None
    if file is None:
        began, found = await client.by_time()
    else:
        found = await client.by_offset(file)
    if as_json:
        buckets = [asdict(bucket) for bucket in found.buckets]
        start = {} if began is None else {"started": began}
        click.echo(json.dumps({**start, "width": found.width, "buckets": buckets}))
        return
    if began is None:
        click.echo(f"freed bytes by offset, one cell is {picture.sized(int(found.width))}:")
    else:
        click.echo(f"freed bytes by time since {_moment(began)}, one cell is {found.width:.0f} s:")
    freed = [bucket.freed for bucket in found.buckets]
    for line in picture.heat(freed, partial(_position, began is None, found.width)):
        click.echo(line)


async def show_faults(client: StoreClient, as_json: bool) -> None:
    """Print the active faults and the number of strikes of each."""
    found = await client.faults()
    if as_json:
        entries = [
            {"fault": each.fault.to_json(), "matched": each.matched, "struck": each.struck} for each in found
        ]
        click.echo(json.dumps(entries))
        return
    if not found:
        click.echo("no faults are in force")
        return
    rows: list[tuple[str, ...]] = [("fault", "matched", "struck")]
    for each in found:
        entry = each.fault.to_json()
        rest = [f"{key}={_shown(str(value))}" for key, value in entry.items() if key not in _NAMING]
        rows.append(
            (
                " ".join([str(entry["action"]), str(entry["operation"]), *rest]),
                str(each.matched),
                str(each.struck),
            )
        )
    _table(rows)


async def show_events(client: StoreClient, since: int, follow: bool, as_json: bool) -> None:
    """Print one line per event; with *follow*, each event as it is recorded, until interrupted."""
    if not follow:
        for event in await client.events(since):
            click.echo(json.dumps(event.to_json()) if as_json else _line(event))
        return
    async with aclosing(client.follow(since)) as items:
        async for item in items:
            if isinstance(item, Missed):
                missed = f"... {item.count} events are missing: the server keeps only the last ones"
                click.echo(json.dumps({"missed": item.count}) if as_json else missed)
            else:
                click.echo(json.dumps(item.to_json()) if as_json else _line(item))


def _table(rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns: the first aligned to the left, all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)),
        ]
        click.echo("  ".join(cells))


def _alternating(size: int, extents: list[Extent]) -> list[tuple[int, int, bool, bool]]:
    """Return ranges (start, end, allocated, shared) from 0 to the end of the file or of its allocation."""
    ranges: list[tuple[int, int, bool, bool]] = []
    position = 0
    for start, end, shared in extents:
        if start > position:
            ranges.append((position, start, False, False))
        if ranges and ranges[-1][1:] == (start, True, shared):
            ranges[-1] = (ranges[-1][0], end, True, shared)
        else:
            ranges.append((start, end, True, shared))
        position = end
    if position < size:
        ranges.append((position, size, False, False))
    return ranges


def _what(allocated: bool, shared: bool) -> str:
    if not allocated:
        return "hole"
    return "allocated, shared" if shared else "allocated"


def _position(by_offset: bool, width: float, number: int) -> str:
    return picture.sized(int(number * width)) if by_offset else f"{number * width:.0f} s"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds)) + f"{seconds % 1:.3f}"[1:]


def _cells(totals: Totals) -> tuple[str, ...]:
    return tuple(str(getattr(totals, column)) for column in _COLUMNS)


def _line(event: LedgerEvent) -> str:
    outcome = errno.errorcode.get(event.errno, str(event.errno)) if event.errno else f"freed {event.freed}"
    fault = "" if event.fault is None else f" fault {event.fault}"
    return (
        f"{event.sequence} {_moment(event.time)} {event.operation} {_shown(event.file)} "
        f"offset {event.offset} length {event.length} allocated {event.allocated} {outcome} "
        f"{event.duration * 1000:.3f} ms{fault}"
    )


def _shown(name: str) -> str:
    """Return a file name that a terminal can show, with control characters and broken UTF-8 escaped."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
