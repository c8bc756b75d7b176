"""These functions print a server's answers, as text for people or as JSON for programs."""

import errno
import json
import sys
import time
from contextlib import aclosing
from dataclasses import asdict
from functools import partial

import click

from fuse_backing import picture
from fuse_backing.allocation import Extent, merged, total
from fuse_backing.amounts import elapsed, lasting, placed, sized
from fuse_backing.columns import table, terminal_width, wrapped
from fuse_backing.errors import ControlError
from fuse_backing.events import Histogram, LedgerEvent, Missed, Totals, totals_by_directory
from fuse_backing.path_patterns import is_pattern, matches, matching
from fuse_backing.store_client import ServerInfo, StoreClient, StoreCounts

_COLUMNS = {
    "events": "events",
    "punched": "punched_bytes",
    "zeroed": "zeroed_bytes",
    "allocated": "allocated",
    "freed": "freed",
    "errors": "errors",
    "faults": "faults",
}
_IN_BYTES = ("punched", "zeroed", "allocated", "freed")
_NAMING = ("action", "operation")


def statistics_document(
    counts: StoreCounts, info: ServerInfo, *, by_directory: bool = False
) -> dict[str, object]:
    """Return the JSON object of the sums by file, and *by_directory* if wanted."""
    document = counts.to_json()
    if by_directory:
        sums = totals_by_directory(counts.files)
        document["directories"] = {path: each.to_json() for path, each in sums.items()}
    if not info.freed_is_measured:
        document["freed_is_measured"] = False
    return document


def statistics_lines(
    counts: StoreCounts, info: ServerInfo, width: int | None, *, by_directory: bool = False
) -> list[str]:
    """Return the sums by file or *by_directory*, and overall, as lines of at most *width* columns."""
    files = totals_by_directory(counts.files) if by_directory else dict(sorted(counts.files.items()))
    rows: list[tuple[str, ...]] = [("directory" if by_directory else "file", *_COLUMNS)]
    rows += [(shown(path), *cells_of(each).values()) for path, each in files.items()]
    rows.append(("all", *cells_of(counts.totals).values()))
    lines = [*since_lines(counts.since, info, width), *table(rows, width)]
    return lines if info.freed_is_measured else [*lines, *wrapped(info.host_remark, width)]


def since_lines(since: float, info: ServerInfo, width: int | None) -> list[str]:
    """Return a line about the last reset, or nothing if there was none since the mount."""
    return [] if since == info.started else wrapped(f"since the reset at {moment(since)}:", width)


def cells_of(totals: Totals) -> dict[str, str]:
    """Return the sums for people, by title."""
    values = {title: getattr(totals, field) for title, field in _COLUMNS.items()}
    return {title: sized(value) if title in _IN_BYTES else str(value) for title, value in values.items()}


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
    width = terminal_width()
    rows = [
        (placed(start), placed(end), sized(end - start), _what(held, shared))
        for start, end, held, shared in ranges
    ]
    title, *cells = picture.shaded(
        size, merged((extent.start, extent.end) for extent in extents), columns=width
    )
    _print([f"size {sized(size)}, allocated {sized(allocated)}"])
    _print(table([("start", "end", "length", "what"), *rows], width))
    _print([*wrapped(title, width), *cells])


async def show_histogram(client: StoreClient, file: str | None, as_json: bool) -> None:
    """Print the freed bytes by time, or by offset in *file*, a path or a pattern of paths."""
    began, served = None, True
    if file is None:
        began, found = await client.by_time()
    else:
        served, found = await _by_offset(client, file)
    if as_json:
        buckets = [asdict(bucket) for bucket in found.buckets]
        start = {} if began is None else {"started": began}
        click.echo(json.dumps({**start, "width": found.width, "buckets": buckets}))
        return
    width, where = terminal_width(), "the store" if file is None else f"file {shown(file)}"
    if file is not None and is_pattern(file):
        where = f"the files {shown(file)}"
    if not served:
        _print(wrapped(f"{where} is no longer in the store; the ledger has its events", width))
    if not found.buckets:
        _print(wrapped(f"no hole punch, zero range or truncation of {where} has succeeded yet", width))
        return
    if began is None:
        title = f"freed bytes by offset, one cell is {sized(int(found.width))}:"
    else:
        title = f"freed bytes by time since {moment(began)}, one cell is {elapsed(found.width)}:"
    freed = [bucket.freed for bucket in found.buckets]
    legend, *cells = picture.heat(freed, partial(_position, began is None, found.width), width)
    _print([*wrapped(title, width), *wrapped(legend, width), *cells])


async def _by_offset(client: StoreClient, file: str) -> tuple[bool, Histogram]:
    """Return whether the store still has the files that *file* names, and the sum of their histograms."""
    try:
        served, _ = await client.find_file(file)
    except ControlError as error:
        paths = matching(await client.totals_by_file(), file) if is_pattern(file) else []
        if error.errno != errno.ENOENT or not paths:
            raise
        found = Histogram(0, ())
        for path in paths:
            found += await client.by_offset(path)
        return True, found
    return served, await client.by_offset(file)


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
        rest = [f"{key}={shown(str(value))}" for key, value in entry.items() if key not in _NAMING]
        rows.append(
            (
                " ".join([str(entry["action"]), str(entry["operation"]), *rest]),
                str(each.matched),
                str(each.struck),
            )
        )
    _print(table(rows, terminal_width()))


async def show_events(client: StoreClient, since: int, follow: bool, file: str, as_json: bool) -> None:
    """Print one line per event of the files that the pattern *file* matches.

    With *follow*, print each event as it is recorded, until interrupted.
    """
    width = terminal_width()
    if not follow:
        for event in await client.events(since):
            if not matches(event.file, file):
                continue
            # A program that reads a pipe wants one line per event, whatever $COLUMNS is.
            fold = width if sys.stdout.isatty() else None
            _print([json.dumps(event.to_json())] if as_json else wrapped(_line(event), fold))
        return
    async with aclosing(client.follow(since)) as items:
        async for item in items:
            if isinstance(item, Missed):
                missed = f"... {item.count} events are missing: the server keeps only the last ones"
                _print([json.dumps({"missed": item.count})] if as_json else wrapped(missed, width))
            elif matches(item.file, file):
                _print([json.dumps(item.to_json())] if as_json else wrapped(_line(item), width))


def moment(seconds: float) -> str:
    """Return a time since the epoch as local time."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds)) + f"{seconds % 1:.3f}"[1:]


def shown(name: str) -> str:
    """Return a file name that a terminal can show, with control characters and broken UTF-8 escaped."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)


def _print(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)


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
    return sized(int(number * width)) if by_offset else elapsed(number * width)


def _line(event: LedgerEvent) -> str:
    outcome = (
        errno.errorcode.get(event.errno, str(event.errno)) if event.errno else f"freed {sized(event.freed)}"
    )
    fault = "" if event.fault is None else f" fault {event.fault}"
    return (
        f"{event.sequence} {moment(event.time)} {event.operation} {shown(event.file)} "
        f"offset {placed(event.offset)} length {sized(event.length)} allocated {sized(event.allocated)} "
        f"{outcome} {lasting(event.duration)}{fault}"
    )
