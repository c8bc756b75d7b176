"""Parts of a plot as SVG text: a frame with axes, phases behind it. Colours are the page's CSS."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from thinsim.units import format_size

WIDTH = 960
LEFT, RIGHT, TOP, BOTTOM = 78, 12, 22, 34


@dataclass(frozen=True, slots=True)
class Band:
    """A phase on the time axis, seconds."""

    number: int
    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Frame:
    """Where values are on the drawing: time from 0 to *seconds* along, 0 to *top* up, in any unit."""

    seconds: float
    top: float
    height: int

    @property
    def inner_width(self) -> float:
        """Of the area inside the axes."""
        return WIDTH - LEFT - RIGHT

    @property
    def inner_height(self) -> float:
        """Of the area inside the axes."""
        return self.height - TOP - BOTTOM

    def x(self, seconds: float) -> float:
        """Return the place of a time."""
        return LEFT + self.inner_width * (seconds / self.seconds if self.seconds else 0)

    def y(self, value: float) -> float:
        """Return the place of a value."""
        return TOP + self.inner_height * (1 - (value / self.top if self.top else 0))


def drawing(height: int, label: str, parts: Iterable[str]) -> str:
    """Return the SVG; *label* is what a screen reader says."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )


def bands(frame: Frame, phases: Sequence[Band]) -> Iterable[str]:
    """Yield the phases: stripes, each with its number above, and its name where that fits."""
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
    """Yield the axis of seconds."""
    base = TOP + frame.inner_height
    yield f'<line class="axis" x1="{LEFT}" y1="{base:.1f}" x2="{WIDTH - RIGHT}" y2="{base:.1f}"/>'
    for tick in ticks(frame.seconds, 8):
        x = f"{frame.x(tick):.1f}"
        yield f'<line class="axis" x1="{x}" y1="{base:.1f}" x2="{x}" y2="{base + 4:.1f}"/>'
        yield text_at(frame.x(tick), base + 17, f"{tick:g} s", "middle")


def size_axis(frame: Frame) -> Iterable[str]:
    """Yield the axis of bytes, with a line across at each tick."""
    for tick in size_ticks(frame.top):
        place = frame.y(tick)
        yield f'<line class="grid" x1="{LEFT}" y1="{place:.1f}" x2="{WIDTH - RIGHT}" y2="{place:.1f}"/>'
        yield text_at(LEFT - 6, place + 4, format_size(tick), "end")


def text_at(x: float, y: float, text: str, anchor: str) -> str:
    """Return a text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def ticks(end: float, most: int) -> list[float]:
    """Return at most about *most* round values from 0 to *end*: steps of 1, 2 or 5 times a power of ten."""
    if end <= 0:
        return [0.0]
    rough = end / most
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    return [round(number * step, 10) for number in range(int(end / step * 1.0001) + 1)]


def size_ticks(top: float) -> list[int]:
    """Return round sizes from 0 to *top*: four to eight steps, each a power of two of bytes."""
    step = 1
    while top / step > 8:
        step *= 2
    return list(range(0, int(top) + 1, step))
