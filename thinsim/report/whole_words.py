"""`WholeWords` prints a table on a narrow terminal without breaking a word."""

import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_UNLIMITED = 1 << 20
"""A width in columns that no table reaches."""


class WholeWords:
    """A `WholeWords` wraps a complete table.

    Its columns get narrower than their longest lines, but not than their longest words; a right-aligned
    column keeps its width. If not even the words fit, each row becomes a paragraph with a line per cell. Only
    a word that is longer than the terminal is wide makes a longer line there: print with ``crop=False``.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, or its rows as paragraphs."""
        columns = [_lines_of(column) for column in self._table.columns]
        needs = [_Need.of(*each) for each in zip(self._table.columns, columns, strict=True)]
        least = [need.least for need in needs]
        self._set(least)
        # The rest is for rich's padding and for a box.
        unlimited = options.update(max_width=_UNLIMITED)
        rest = Measurement.get(console, unlimited, self._table).minimum - sum(least)
        widths = _widths(needs, options.max_width - rest)
        if widths is None:
            if self._table.title is not None:
                yield Text(str(self._table.title), style=self._table.title_style or "")
            yield from _paragraphs(self._table, options.max_width)
            return
        self._set(widths)
        yield self._table

    def _set(self, widths: Sequence[int]) -> None:
        for column, width in zip(self._table.columns, widths, strict=True):
            column.width, column.overflow = width, "fold"


class _Need:
    """A `_Need` has the width of a column's longest line and the least width that breaks no word."""

    def __init__(self, natural: int, least: int) -> None:
        self.natural = natural
        self.least = least

    @classmethod
    def of(cls, column: Column, lines: Sequence[str]) -> "_Need":
        natural = max(map(cell_len, lines), default=0)
        if column.justify == "right":
            return cls(natural, natural)
        return cls(natural, max((cell_len(word) for line in lines for word in line.split()), default=0))


def _widths(needs: Sequence[_Need], room: int) -> list[int] | None:
    """Return the width of each column, together at most *room*; None if the words do not fit."""
    widths = [need.least for need in needs]
    left = room - sum(widths)
    if left < 0:
        return None
    # The column that lacks least comes first, so that what it does not need is left to the others.
    order = sorted(range(len(needs)), key=lambda number: needs[number].natural - needs[number].least)
    for place, number in enumerate(order):
        more = min(needs[number].natural - needs[number].least, left // (len(order) - place))
        widths[number] += more
        left -= more
    return widths


def _paragraphs(table: Table, width: int) -> Iterator[Text]:
    headings = [_plain(column.header) for column in table.columns]
    title = next((number for number, heading in enumerate(headings) if heading), 0)
    for row in zip(*(column.cells for column in table.columns), strict=True):
        parts = [cell if isinstance(cell, Text) else Text(str(cell)) for cell in row]
        yield _whole(Text("  ").join(part for part in parts[: title + 1] if part.plain))
        for heading, part in zip(headings[title + 1 :], parts[title + 1 :], strict=True):
            text = f"{heading}: {part.plain}" if heading else part.plain
            for line in textwrap.wrap(
                text if part.plain.strip() else "",
                max(width, 1),
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            ):
                yield _whole(Text(line, part.style))


def _whole(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ignore"
    return text


def _lines_of(column: Column) -> list[str]:
    return [_plain(cell) for cell in (column.header, *column.cells)]


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
