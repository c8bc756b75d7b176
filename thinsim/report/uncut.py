"""`uncut` lets a table print on a narrow terminal without cutting off or breaking words and numbers."""

from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text


def uncut(table: Table) -> RenderableType:
    """Return the complete *table* in a form that folds its cells between words.

    Columns that are aligned right stay whole. If the terminal is too narrow for the longest words side by
    side, each row is a list of its cells, one below the other. Its cells must be strings or Text.
    """
    return _Uncut(table)


class _Uncut:
    """An `_Uncut` renders a table in the width that it finds."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = self._table.columns
        whole = [_widest(_texts(column)) for column in columns]
        least = [
            width if column.justify == "right" else _widest(_words(column))
            for column, width in zip(columns, whole, strict=True)
        ]
        _set_widths(columns, least)
        room = options.max_width - Measurement.get(console, _unlimited(options), self._table).minimum
        if room < 0:
            yield from _listed(self._table)
            return
        _set_widths(columns, _shared(least, whole, room))
        yield self._table


def _texts(column: Column) -> list[Text]:
    return [cell if isinstance(cell, Text) else Text(str(cell)) for cell in (column.header, *column.cells)]


def _words(column: Column) -> list[Text]:
    return [Text(word) for text in _texts(column) for word in text.plain.split()]


def _widest(texts: Iterable[Text]) -> int:
    return max((cell_len(line) for text in texts for line in text.plain.splitlines()), default=0)


def _set_widths(columns: Iterable[Column], widths: Iterable[int]) -> None:
    for column, width in zip(columns, widths, strict=True):
        column.overflow = "fold"
        column.width = width


def _unlimited(options: ConsoleOptions) -> ConsoleOptions:
    return options.update(max_width=1 << 20)


def _shared(least: list[int], whole: list[int], room: int) -> list[int]:
    """Return the widths of columns that share *room* beyond *least*; none exceeds its *whole* width."""
    widths = list(least)
    wanting = sorted(range(len(least)), key=lambda number: whole[number] - least[number])
    for position, number in enumerate(wanting):
        more = min(whole[number] - least[number], room // (len(wanting) - position))
        widths[number] += more
        room -= more
    return widths


def _listed(table: Table) -> Iterable[RenderableType]:
    """Yield the title and the rows of *table*: each cell is on its own line, behind its heading."""
    if table.title is not None:
        yield Text(str(table.title), style=table.title_style or "")
    columns = [_texts(column) for column in table.columns]
    for row in range(table.row_count):
        for number, (heading, *cells) in enumerate(columns):
            cell = cells[row]
            if cell.plain:
                indent, name = "  " * bool(number), f"{heading.plain}: " if heading.plain else ""
                yield Text.assemble(indent, name, cell, overflow="fold")
