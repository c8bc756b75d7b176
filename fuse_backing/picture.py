"""`shaded`, `heat` and `bars` draw allocation maps and histograms as lines of text."""

from collections.abc import Callable, Sequence

from fuse_backing.allocation import Range
from fuse_backing.amounts import sized

WIDTH = 64
"""Number of cells per row, halved until a row fits the terminal."""

MOST_ROWS = 16

_SHADES = " ░▒▓█"
_LEAST = 8


def shaded(size: int, ranges: Sequence[Range], block: int = 4096, columns: int | None = None) -> list[str]:
    """Return *size* bytes as rows of cells, each shaded by how much of it is in *ranges* (sorted, disjoint).

    A full cell is ``█``, an empty one a space; a cell with at least one byte is at least ``░``, and one that
    lacks a byte is at most ``▓``. The size of a cell is *block*, doubled until all cells fit in MOST_ROWS
    rows. Each row begins with its offset; the first line gives the size of a cell. With *columns* no row is
    wider.
    """
    width = _width(columns, len("1023.9 MiB"))
    cell = block
    while -(-size // cell) > width * MOST_ROWS:
        cell *= 2
    counts = [0] * -(-size // cell)
    for start, end in ranges:
        position, stop = start, min(end, size)
        while position < stop:
            edge = min((position // cell + 1) * cell, stop)
            counts[position // cell] += edge - position
            position = edge
    cells = "".join(_shade(count, min(cell, size - number * cell)) for number, count in enumerate(counts))
    title = f"one cell is {sized(cell)}: █ allocated, ▓▒░ in part, blank a hole"
    return [title, *_rows(cells, lambda position: sized(position * cell), width)]


def heat(values: Sequence[int], label: Callable[[int], str], columns: int | None = None) -> list[str]:
    """Return *values* as rows of cells, each shaded by its share of the largest; only a zero is blank.

    Each row begins with the *label* of its first value's position. The first line gives the value of ``█``.
    With *columns* no row is wider.
    """
    most = max(values, default=0)
    cells = "".join(_shade(value, most) for value in values)
    labels = [label(position) for position in range(0, len(cells), _LEAST)]
    width = _width(columns, max(map(len, labels), default=0))
    return [f"█ is {sized(most)}, ▓▒░ less, blank nothing", *_rows(cells, label, width)]


def bars(counts: Sequence[tuple[str, int]], columns: int | None = None) -> list[str]:
    """Return a row for each label and its number: a bar in proportion to the largest number, and the number.

    A number above 0 has at least half a cell.
    """
    most = max((count for _, count in counts), default=0)
    margin = max((len(label) for label, _ in counts), default=0)
    width, lines = _width(columns, margin + 1 + len(str(most))), []
    for label, count in counts:
        halves = max(1, round(2 * width * count / most)) if count else 0
        bar = "█" * (halves // 2) + "▌" * (halves % 2)
        lines.append(f"{label:>{margin}} |{bar:<{width}}| {count}")
    return lines


def _width(columns: int | None, margin: int) -> int:
    """Return the number of cells that fit beside a margin: a power of two, so that labels are round."""
    width = WIDTH
    while columns is not None and width > _LEAST and margin + len(" ||") + width > columns:
        width //= 2
    return width


def _rows(cells: str, label: Callable[[int], str], width: int) -> list[str]:
    places = range(0, len(cells), width)
    margin = max((len(label(place)) for place in places), default=0)
    return [f"{label(place):>{margin}} |{cells[place : place + width]}|" for place in places]


def _shade(count: int, cell: int) -> str:
    if count == 0:
        return _SHADES[0]
    if count >= cell:
        return _SHADES[-1]
    return _SHADES[min(1 + count * 3 // cell, 3)]
