"""`lay_out` returns a table whose group headings span several columns, which rich cannot print."""

from collections.abc import Sequence
from dataclasses import dataclass

_GAP = "  "
_GROUP_GAP = "    "


@dataclass(frozen=True, slots=True)
class Group:
    """A `Group` is a heading over several columns, with their headings and rows."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def lay_out(first: Sequence[str], groups: Sequence[Group]) -> list[str]:
    """Return lines: group headings, column headings, a rule, the rows, a rule, the last row.

    *first* is the leftmost column: its heading, then a cell per row. It is aligned left, the others right.
    """
    left = max(len(cell) for cell in first)
    blocks = [_block(group) for group in groups]
    heading = " " * left + _GROUP_GAP + _GROUP_GAP.join(block[0] for block in blocks)
    lines = [
        cell.ljust(left) + _GROUP_GAP + _GROUP_GAP.join(block[number + 1] for block in blocks)
        for number, cell in enumerate(first)
    ]
    rule = "─" * max(len(line) for line in lines)
    return [heading.rstrip(), lines[0], rule, *lines[1:-1], rule, lines[-1]]


def _block(group: Group) -> list[str]:
    """Return the lines of *group*, all of one width, with the heading first."""
    table = [group.columns, *group.rows]
    widths = [max(len(row[number]) for row in table) for number in range(len(group.columns))]
    # A heading longer than its columns widens the last one.
    widths[-1] += max(0, len(group.heading) - sum(widths) - len(_GAP) * (len(widths) - 1))
    lines = [_GAP.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    return [group.heading.center(len(lines[0])), *lines]
