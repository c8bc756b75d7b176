"""`shaded` and `heat` draw allocation maps and histograms as lines of text."""

from collections.abc import Callable, Sequence

from fuse_backing.allocation import Range

WIDTH = 64
"""Number of cells per row."""

MOST_ROWS = 16

_SHADES = " ░▒▓█"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def shaded(size: int, ranges: Sequence[Range], block: int = 4096) -> list[str]:
    """Return *size* bytes as rows of cells, each shaded by how much of it is in *ranges* (sorted, disjoint).

    A full cell is ``█``, an empty one a space; a cell with at least one byte is at least ``░``, and one that
    lacks a byte is at most ``▓``. The size of a cell is *block*, doubled until all cells fit in MOST_ROWS
    rows. Each row begins with its offset; the first line gives the size of a cell.
    """
    cell = block
    while -(-size // cell) > WIDTH * MOST_ROWS:
        cell *= 2
    counts = [0] * -(-size // cell)
    for start, end in ranges:
        position, stop = start, min(end, size)
        while position < stop:
            edge = min((position // cell + 1) * cell, stop)
            counts[position // cell] += edge - position
            position = edge
    cells = "".join(_shade(count, min(cell, size - number * cell)) for number, count in enumerate(counts))
    labels = [sized(position * cell) for position in range(0, len(cells), WIDTH)]
    return [f"one cell is {sized(cell)}: █ allocated, ▓▒░ in part, blank a hole", *_rows(cells, labels)]


def heat(values: Sequence[int], label: Callable[[int], str]) -> list[str]:
    """Return *values* as rows of cells, each shaded by its share of the largest; only a zero is blank.

    Each row begins with the *label* of its first value's position. The first line gives the value of ``█``.
    """
    most = max(values, default=0)
    cells = "".join(_shade(value, most) for value in values)
    return [
        f"█ is {sized(most)}, ▓▒░ less, blank nothing",
        *_rows(cells, [label(position) for position in range(0, len(cells), WIDTH)]),
    ]


def sized(count: int) -> str:
    """Return a number of bytes with the largest unit that leaves at least 1, and no false precision."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if value == int(value) else f"{value:.1f} {_UNITS[unit]}"


def _rows(cells: str, labels: Sequence[str]) -> list[str]:
    margin = max(map(len, labels), default=0)
    return [
        f"{label:>{margin}} |{cells[row * WIDTH : (row + 1) * WIDTH]}|" for row, label in enumerate(labels)
    ]


def _shade(count: int, cell: int) -> str:
    if count == 0:
        return _SHADES[0]
    if count >= cell:
        return _SHADES[-1]
    return _SHADES[min(1 + count * 3 // cell, 3)]
