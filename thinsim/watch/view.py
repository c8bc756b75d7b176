"""`view` shows a moment at a terminal: a bar of the pool, the figures, devices, the newest discards."""

import time
from collections.abc import Callable, Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fuse_backing.events import LedgerEvent
from thinsim.report.whole_words import WholeWords
from thinsim.units import format_size
from thinsim.watch.moment import Moment

_BAR = 60
"""Width of the bar in cells, if the terminal has room for it and the legend."""
_LEGEND = " █ used ▒ leaked"


def _at_least(now: Moment) -> int | None:
    return now.leaked_at_least if now.leaked is None and now.host is not None else None


_FIGURES: Sequence[tuple[str, Callable[[Moment], int | None]]] = (
    ("used in the pool", lambda moment: moment.used),
    ("allocated on the host", lambda moment: moment.host),
    ("freed on the host", lambda moment: moment.given_back),
    ("leaked", lambda moment: moment.leaked),
    ("leaked, at least", _at_least),
    ("discarded on the data device", lambda moment: moment.discarded),
)


def view(name: str, now: Moment, before: Moment | None, width: int) -> RenderableType:
    """Return the view of pool *name* in *width* columns, with the changes since *before*."""
    bar = _bar(now, max(1, min(_BAR, width - len(_LEGEND))))
    plane = [Text(f"data plane: {now.data_plane}")] if now.data_plane else []
    events = [_discards(now.discards)] if now.punches is not None else []
    rate = [Text(_rate(now, before))] if before is not None else []
    return Group(_headline(name, now), bar, _figures(now, before), *rate, *plane, _devices(now), *events)


def _headline(name: str, now: Moment) -> Text:
    clock = time.strftime("%H:%M:%S", time.localtime(now.time))
    return Text(f"{name}  {now.mode}  {format_size(now.size)}  {clock}", style="bold")


def _bar(now: Moment, cells: int) -> Text:
    """Return the bar: the used and the leaked part of the pool's size."""
    leaked = now.leaked_at_least if now.leaked is None else now.leaked
    used = _cells(now.used, now.size, cells)
    lost = min(_cells(leaked, now.size, cells), cells - used)
    rest = cells - used - lost
    return Text.assemble(("█" * used, "green"), ("▒" * lost, "red"), ("·" * rest, "dim"), _LEGEND)


def _figures(now: Moment, before: Moment | None) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "now", "change"):
        table.add_column(heading, justify="left" if not heading else "right")
    for what, of in _FIGURES:
        value = of(now)
        if value is None:
            continue
        earlier = None if before is None else of(before)
        table.add_row(what, format_size(value), "" if earlier is None else _change(value - earlier))
    return WholeWords(table)


def _rate(now: Moment, before: Moment) -> str:
    seconds = max(now.time - before.time, 1e-3)
    return f"{(now.discard_requests - before.discard_requests) / seconds:.1f} discards per second"


def _change(by: int) -> str:
    return "" if by == 0 else ("+" if by > 0 else "") + format_size(by)


def _devices(now: Moment) -> RenderableType:
    if not now.devices:
        return Text("no thin device is active", style="dim")
    table = Table(box=None, pad_edge=False)
    table.add_column("device")
    for heading in ("thin id", "mapped", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for device in now.devices:
        opened = "open" if device.open else ""
        table.add_row(Text(device.name), str(device.thin_id), format_size(device.mapped), opened)
    return WholeWords(table)


def _discards(events: Iterable[LedgerEvent]) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for heading in ("discard", "offset", "length", "freed"):
        table.add_column(heading, justify="left" if heading == "discard" else "right")
    for event in events:
        clock = time.strftime("%H:%M:%S", time.localtime(event.time))
        outcome = format_size(event.freed) if not event.errno else f"error {event.errno}"
        table.add_row(
            f"{clock} {event.operation}", format_size(event.offset), format_size(event.length), outcome
        )
    return WholeWords(table) if table.row_count else Text("no discards yet", style="dim")


def _cells(amount: int, size: int, cells: int) -> int:
    """Return the number of the bar's *cells* for *amount*, at least one for any amount above 0."""
    return 0 if amount <= 0 or size <= 0 else min(cells, max(1, round(amount * cells / size)))
