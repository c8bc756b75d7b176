"""A `Frame` places values on a plot; the functions here return its axes and phases as SVG.

The CSS of the page sets the colours.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate

from thinsim.units import format_size

WIDTH = 960
LEFT, RIGHT, TOP, BOTTOM = 78, 12, 22, 34
_LABEL_WIDTH = 46


@dataclass(frozen=True, slots=True)
class Band:
    """A `Band` is a phase on the time axis; *start* and *end* are in seconds."""

    number: int
    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class TimeScale:
    """A `TimeScale` maps times to places from 0 to 1: linear within a phase, and wider for short phases.

    A removal matters most, and often takes the least time.
    """

    edges: tuple[float, ...]
    """The begins of the phases and the end of the last one, in seconds, ascending."""
    places: tuple[float, ...]
    """The place of each edge."""

    @classmethod
    def of(cls, phases: Sequence[Band]) -> "TimeScale":
        """Return the scale for consecutive phases; each gets at least a tenth of the width, if all can."""
        if not phases or phases[-1].end <= 0:
            return cls((0.0, 1.0), (0.0, 1.0))
        least = min(0.1, 0.5 / len(phases))
        wide = [max((band.end - band.start) / phases[-1].end, least) for band in phases]
        places = [0.0, *(share / sum(wide) for share in accumulate(wide))]
        return cls((0.0, *(band.end for band in phases)), tuple(places))

    def place(self, seconds: float) -> float:
        """Return the place of a time; a time outside of the phases is at the nearest end."""
        if not self.edges[0] < seconds < self.edges[-1]:
            return 0.0 if seconds <= self.edges[0] else 1.0
        number = bisect_right(self.edges, seconds) - 1
        start, end = self.edges[number], self.edges[number + 1]
        share = (seconds - start) / (end - start)
        return self.places[number] + share * (self.places[number + 1] - self.places[number])


@dataclass(frozen=True, slots=True)
class Frame:
    """A `Frame` places values on a drawing: time from left to right, 0 to *top* upwards, in any unit."""

    scale: TimeScale
    top: float
    height: int

    @property
    def inner_width(self) -> float:
        """Return the width of the area inside the axes."""
        return WIDTH - LEFT - RIGHT

    @property
    def inner_height(self) -> float:
        """Return the height of the area inside the axes."""
        return self.height - TOP - BOTTOM

    def x(self, seconds: float) -> float:
        """Return the horizontal place of a time."""
        return LEFT + self.inner_width * self.scale.place(seconds)

    def y(self, value: float) -> float:
        """Return the vertical place of a value."""
        return TOP + self.inner_height * (1 - (value / self.top if self.top else 0))


def drawing(height: int, label: str, parts: Iterable[str]) -> str:
    """Return the SVG of *parts*; a screen reader reads *label* aloud."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )


def bands(frame: Frame, phases: Sequence[Band]) -> Iterable[str]:
    """Yield a stripe per phase, with its number above it, and its name if there is room."""
    for band in phases:
        start, end = frame.x(band.start), frame.x(band.end)
        tone = "odd" if band.number % 2 else "even"
        title = f"<title>{band.number}: {escape(band.name)}, {band.end - band.start:.2f} s</title>"
        yield (
            f'<rect class="band {tone}" x="{start:.1f}" y="{TOP}" width="{max(end - start, 0.5):.1f}" '
            f'height="{frame.inner_height:.1f}">{title}</rect>'
        )
        text = f"{band.number} {band.name}"
        if len(text) * 6.4 > end - start:
            text = str(band.number)
        if len(text) * 6.4 <= end - start:
            yield text_at((start + end) / 2, TOP - 7, text, "middle")


def time_axis(frame: Frame) -> Iterable[str]:
    """Yield the axis of time, with the end of each phase; in milliseconds if the run takes under a second."""
    base = TOP + frame.inner_height
    yield f'<line class="axis" x1="{LEFT}" y1="{base:.1f}" x2="{WIDTH - RIGHT}" y2="{base:.1f}"/>'
    before = -math.inf
    for edge in frame.scale.edges:
        x = frame.x(edge)
        if x - before < _LABEL_WIDTH:
            continue
        before = x
        yield f'<line class="axis" x1="{x:.1f}" y1="{base:.1f}" x2="{x:.1f}" y2="{base + 4:.1f}"/>'
        anchor = "middle" if x < WIDTH - _LABEL_WIDTH else "end"
        yield text_at(x, base + 17, _time(edge, frame.scale.edges[-1]), anchor)


def _time(seconds: float, most: float) -> str:
    if most < 1:
        return f"{seconds * 1000:.{0 if most >= 0.1 else 2}f} ms"
    digits = 3 if 0 < seconds < 0.1 else 2 if seconds < 10 else 1
    return f"{seconds:.{digits}f} s"


def size_axis(frame: Frame) -> Iterable[str]:
    """Yield the axis of bytes, with a line across the plot at each tick."""
    for tick in size_ticks(frame.top):
        place = frame.y(tick)
        yield f'<line class="grid" x1="{LEFT}" y1="{place:.1f}" x2="{WIDTH - RIGHT}" y2="{place:.1f}"/>'
        yield text_at(LEFT - 6, place + 4, format_size(tick), "end")


def text_at(x: float, y: float, text: str, anchor: str) -> str:
    """Return the SVG of a text; *anchor* is ``start``, ``middle`` or ``end``."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def size_ticks(top: float) -> list[int]:
    """Return round sizes from 0 to *top*, in four to eight steps of a power of two of bytes."""
    step = 1
    while top / step > 8:
        step *= 2
    return list(range(0, int(top) + 1, step))
