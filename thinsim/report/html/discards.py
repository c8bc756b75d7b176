"""`discards_plot` and `heat_map` draw the hole punches of the store over time and over file offsets."""

from collections.abc import Sequence
from dataclasses import dataclass

from fuse_backing.events import LedgerEvent
from fuse_backing.faults import Operation
from thinsim.report.html.svg import (
    BOTTOM,
    LEFT,
    TOP,
    Band,
    Frame,
    TimeScale,
    bands,
    drawing,
    size_axis,
    text_at,
    time_axis,
)
from thinsim.report.html.svg import size_ticks as offsets
from thinsim.units import format_size

TIME_CELLS = 96
OFFSET_CELLS = 48
LEVELS = 5
"""The number of shades in the heat map."""

_BARS_HEIGHT = 190
_HEAT_HEIGHT = 320


@dataclass(frozen=True, slots=True)
class Punch:
    """A `Punch` is one hole punch: its time in seconds of the run, its range, and the bytes that it freed."""

    at: float
    offset: int
    length: int
    freed: int


def punches(events: Sequence[LedgerEvent], started: float) -> list[Punch]:
    """Return the hole punches among *events*; the run began at *started*, in seconds since the epoch."""
    return [
        Punch(max(0.0, event.time - started), event.offset, event.length, event.freed)
        for event in events
        if event.operation is Operation.PUNCH
    ]


def discards_plot(found: Sequence[Punch], phases: Sequence[Band]) -> str:
    """Return bars over time: an outline for the bytes to punch, a filled bar for the bytes freed."""
    scale = TimeScale.of(phases)
    asked, freed = [0] * TIME_CELLS, [0] * TIME_CELLS
    for punch in found:
        cell = time_cell(punch.at, scale)
        asked[cell] += punch.length
        freed[cell] += punch.freed
    frame = Frame(scale, max(asked, default=0) * 1.06 or 1, _BARS_HEIGHT)
    width = frame.inner_width / TIME_CELLS
    parts = [*bands(frame, phases), *size_axis(frame), *time_axis(frame)]
    for kind, label, values in (("asked", "punched", asked), ("freed", "freed", freed)):
        for cell, value in enumerate(values):
            if value:
                parts.append(
                    f'<rect class="{kind}" x="{LEFT + cell * width:.1f}" y="{frame.y(value):.1f}" '
                    f'width="{width - 1:.1f}" height="{frame.y(0) - frame.y(value):.1f}">'
                    f"<title>{label} {format_size(value)}</title></rect>"
                )
    return drawing(_BARS_HEIGHT, "Discards over time", parts)


def heat_map(found: Sequence[Punch], end: int, phases: Sequence[Band]) -> str:
    """Return a map of time and of file offsets, 0 to *end* bytes; a cell is darker if more was freed there.

    A cell with punches that freed nothing is an outline.
    """
    frame = Frame(TimeScale.of(phases), end or 1, _HEAT_HEIGHT)
    freed, asked = grid(found, frame.scale, end or 1)
    most = max(map(max, freed))
    width, height = frame.inner_width / TIME_CELLS, frame.inner_height / OFFSET_CELLS
    parts = [*bands(frame, phases), *_offset_axis(frame), *time_axis(frame)]
    for row in range(OFFSET_CELLS):
        for cell in range(TIME_CELLS):
            if not asked[row][cell]:
                continue
            x, y = LEFT + cell * width, TOP + frame.inner_height - (row + 1) * height
            value = freed[row][cell]
            kind = f"heat h{level(value, most)}" if value else "heat nothing"
            title = f"{format_size(asked[row][cell])} punched, {format_size(value)} freed"
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
                f"<title>{title}</title></rect>"
            )
    return drawing(_HEAT_HEIGHT, "Discards over time and over the file's offsets", parts)


def hottest(found: Sequence[Punch], end: int, phases: Sequence[Band]) -> int:
    """Return the largest number of bytes freed in a cell of the heat map, which has the darkest shade."""
    freed, _ = grid(found, TimeScale.of(phases), end or 1)
    return max(map(max, freed))


def grid(found: Sequence[Punch], scale: TimeScale, end: int) -> tuple[list[list[int]], list[list[int]]]:
    """Return the bytes freed and the bytes to punch of each cell, [offset row][time cell].

    The bytes that a punch freed are split over the cells that it covers, by length; the sums are exact.
    """
    freed = [[0] * TIME_CELLS for _ in range(OFFSET_CELLS)]
    asked = [[0] * TIME_CELLS for _ in range(OFFSET_CELLS)]
    for punch in found:
        cell = time_cell(punch.at, scale)
        stop = min(punch.offset + punch.length, end)
        first = min(punch.offset * OFFSET_CELLS // end, OFFSET_CELLS - 1)
        last = min(max(stop - 1, punch.offset) * OFFSET_CELLS // end, OFFSET_CELLS - 1)
        shared = 0
        for row in range(first, last + 1):
            edge = stop if row == last else -(-end * (row + 1) // OFFSET_CELLS)
            covered = max(0, edge - punch.offset)
            upto = punch.freed if row == last else punch.freed * covered // max(1, punch.length)
            freed[row][cell] += upto - shared
            shared = upto
            start = punch.offset if row == first else -(-end * row // OFFSET_CELLS)
            asked[row][cell] += max(0, edge - start)
    return freed, asked


def time_cell(at: float, scale: TimeScale) -> int:
    """Return the number of the cell for a time."""
    return min(int(scale.place(at) * TIME_CELLS), TIME_CELLS - 1)


def level(value: int, most: int) -> int:
    """Return the shade of *value*, 1 to LEVELS."""
    return min(LEVELS, 1 + value * LEVELS // (most + 1))


def _offset_axis(frame: Frame) -> list[str]:
    labels = [
        text_at(LEFT - 6, frame.y(offset) + 4, format_size(offset), "end") for offset in offsets(frame.top)
    ]
    base = _HEAT_HEIGHT - BOTTOM
    return [*labels, f'<line class="axis" x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{base}"/>']
