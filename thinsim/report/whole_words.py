"""`WholeWords` lays out a table for any width of a terminal without breaking a word or a number."""

import copy
import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_UNLIMITED = 1 << 20
_WORD = re.compile(r"\S+")


class WholeWords:
    """A `WholeWords` wraps a complete table, whose cells are of the type str or Text.

    Its columns get narrower than their longest lines, but not than their longest words. The cells of a column
    that is aligned right or that has ``no_wrap`` keep their width. If not even this fits, each row becomes a
    list with a line per cell that is not empty. Only a word that is longer than the terminal is wide makes a
    longer line there: print with `print_table`, or with ``crop=False``.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def fits(self, console: Console) -> bool:
        """Return whether *console* has room for each row on one line."""
        widths = [_widest(_texts(column)) for column in self._table.columns]
        return _measured(_with_widths(self._table, widths), console, console.options) <= console.width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the title, then the table, or its rows as lists."""
        if self._table.title is not None:
            title = Text(str(self._table.title), self._table.title_style or "italic")
            yield from _whole_lines(title, options.max_width)
        columns = self._table.columns
        least, most = [_least(column) for column in columns], [_widest(_texts(column)) for column in columns]
        room = options.max_width - _measured(_with_widths(self._table, least), console, options)
        if room < 0:
            yield from _lists(self._table, options.max_width)
        else:
            yield _with_widths(self._table, _shared(least, most, room))


def print_table(console: Console, table: Table) -> None:
    """Print the complete *table* on *console* without breaking a word."""
    console.print(WholeWords(table), crop=False)


def print_words(console: Console, text: str | Text, style: str = "") -> None:
    """Print *text*; a str is no markup. A terminal gets line breaks between words, a pipe gets one line."""
    whole = text if isinstance(text, Text) else Text(text, style)
    if not console.is_terminal:
        console.print(whole, soft_wrap=True)
        return
    for line in _whole_lines(whole, console.width):
        console.print(line, soft_wrap=True)


def _with_widths(table: Table, widths: Sequence[int]) -> Table:
    """Return a copy of *table* without its title, with columns of these *widths*."""
    sized = copy.copy(table)
    sized.title = None
    sized.columns = [copy.copy(column) for column in table.columns]
    for column, width in zip(sized.columns, widths, strict=True):
        # No word is longer than the width, so that nothing is folded inside of a word.
        column.width, column.overflow = width, "fold"
    return sized


def _measured(sized: Table, console: Console, options: ConsoleOptions) -> int:
    return Measurement.get(console, options.update(max_width=_UNLIMITED), sized).minimum


def _least(column: Column) -> int:
    """Return the least width of *column* that breaks no word, and no line of a number."""
    heading, *cells = _texts(column)
    if column.no_wrap:
        return _widest([heading, *cells])
    if column.justify == "right":
        return max(_longest_word(heading), _widest(cells))
    return max(map(_longest_word, (heading, *cells)))


def _shared(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Return the widths of columns that share *room* beyond *least*; none exceeds its width of *most*."""
    widths = list(least)
    # The column that lacks least comes first, so that what it does not need is left to the others.
    order = sorted(range(len(least)), key=lambda number: most[number] - least[number])
    for place, number in enumerate(order):
        more = min(most[number] - least[number], room // (len(order) - place))
        widths[number] += more
        room -= more
    return widths


def _lists(table: Table, width: int) -> Iterator[Text]:
    """Yield the rows of *table*: each cell is on its own line, behind its heading.

    A cell without a heading at the start of a row, such as *ok*, is on the line of the name after it.
    """
    first = next((number for number, column in enumerate(table.columns) if _texts(column)[0].plain), 0)
    if table.columns[first].justify == "right":
        first = max(first - 1, 0)
    headings = [_texts(column)[0].plain for column in table.columns]
    for row in zip(*(_texts(column)[1:] for column in table.columns), strict=True):
        cells = [
            Text.assemble(f"{heading}: " if heading else "", cell) if cell.plain.strip() else Text()
            for heading, cell in zip(headings, row, strict=True)
        ]
        name = Text("  ").join(cell for cell in cells[: first + 1] if cell.plain)
        yield from _whole_lines(name, width, "", "  ")
        for cell in cells[first + 1 :]:
            if cell.plain:
                yield from _whole_lines(cell, width, "  ", "    ")


def _whole_lines(text: Text, width: int, indent: str = "", next_indent: str = "") -> Iterator[Text]:
    """Yield *text* in lines of at most *width*, broken between words; a longer word stays whole."""
    room, next_room = width - len(indent), width - len(next_indent)
    lines: list[Text] = []
    for part in text.split("\n", allow_blank=True):
        lines += part.divide(_breaks(part, next_room if lines else room, next_room))
    for number, line in enumerate(lines):
        line.rstrip()
        yield Text.assemble(next_indent if number else indent, line, no_wrap=True, overflow="ignore")


def _breaks(text: Text, room: int, next_room: int) -> list[int]:
    """Return the places of the words that begin another line, after a first line of *room* columns."""
    places: list[int] = []
    for word in _WORD.finditer(text.plain):
        begin = places[-1] if places else 0
        length = cell_len(text.plain[begin : word.end()])
        if length > (next_room if places else room) and text.plain[begin : word.start()].strip():
            places.append(word.start())
    return places


def _texts(column: Column) -> list[Text]:
    """Return the heading and the cells of *column*."""
    return [cell if isinstance(cell, Text) else Text(str(cell)) for cell in (column.header, *column.cells)]


def _widest(texts: Sequence[Text]) -> int:
    return max((cell_len(line) for text in texts for line in text.plain.splitlines()), default=0)


def _longest_word(text: Text) -> int:
    return max(map(cell_len, text.plain.split()), default=0)
