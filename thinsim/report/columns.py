"""`lay_out` returns a table whose group headings span several columns, which rich cannot print."""

import textwrap
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


def lay_out_narrow(first: Sequence[str], group: Group, width: int) -> list[str]:
    """Return the lines of `lay_out` for one *group* on a terminal of *width* columns, folded between words.

    If the numbers do not fit beside the first column, the cells of each row are a list.
    """
    heading = _folded(group.heading, width)
    table = [group.columns, *group.rows]
    # A column is as wide as its numbers and the words of its heading.
    widths = [
        max(_longest_word(row[number]) if row is group.columns else len(row[number]) for row in table)
        for number in range(len(group.columns))
    ]
    left = width - sum(widths) - len(_GAP) * len(widths)
    if left < max(_longest_word(cell) for cell in first):
        return [*heading, *(line for row in _listed(first, group, width) for line in row)]
    left = min(left, max(len(cell) for cell in first))
    lines = [_folded_row(cell, left, row, widths) for cell, row in zip(first, table, strict=True)]
    rule = "─" * max(len(line) for line in (line for row in lines for line in row))
    rows = [line for row in lines[1:-1] for line in row]
    return [*heading, *lines[0], rule, *rows, rule, *lines[-1]]


def _block(group: Group) -> list[str]:
    """Return the lines of *group*, all of one width, with the heading first."""
    table = [group.columns, *group.rows]
    widths = [max(len(row[number]) for row in table) for number in range(len(group.columns))]
    # A heading longer than its columns widens the last one.
    widths[-1] += max(0, len(group.heading) - sum(widths) - len(_GAP) * (len(widths) - 1))
    lines = [_GAP.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    return [group.heading.center(len(lines[0])), *lines]


def _folded_row(cell: str, left: int, row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the lines of a row. The numbers are on its last line."""
    cells = [
        _folded(cell, left),
        *(_folded(text, max(width, 1)) for text, width in zip(row, widths, strict=True)),
    ]
    height = max(map(len, cells))
    # The first cell begins at the top, the others end at the bottom.
    names = [*cells[0], *[""] * (height - len(cells[0]))]
    columns = [[*[""] * (height - len(each)), *each] for each in cells[1:]]
    return [
        (
            names[number].ljust(left)
            + "".join(_GAP + each[number].rjust(width) for each, width in zip(columns, widths, strict=True))
        ).rstrip()
        for number in range(height)
    ]


def _listed(first: Sequence[str], group: Group, width: int) -> list[list[str]]:
    return [
        _folded(
            f"{name}: "
            + ", ".join(f"{column} {cell}" for column, cell in zip(group.columns, row, strict=True) if cell),
            width,
        )
        for name, row in zip(first[1:], group.rows, strict=True)
    ]


def _folded(text: str, width: int) -> list[str]:
    """Return *text* in lines of *width*; a longer word stays whole."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)
