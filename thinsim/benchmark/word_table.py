"""A `WordTable` breaks lines only between words; where a table has no room, it prints a list."""

from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WHOLE: Literal["crop"] = "crop"
"""rich's word for a text whose lines end between words, with which it cuts longer words off."""


class WordTable:
    """A `WordTable` has rows with a name, which may have several lines, and cells, which have one."""

    def __init__(self, headings: Sequence[str], *, left: Sequence[str] = ()) -> None:
        self._headings = headings
        self._left = left
        self._rows: list[tuple[str, list[Text]]] = []

    def add(self, name: str, cells: Sequence[str | Text]) -> None:
        """Add a row. A text that is not of type Text is no markup."""
        self._rows.append((name, [cell if isinstance(cell, Text) else Text(cell) for cell in cells]))

    def fits(self, console: Console) -> bool:
        """Return whether *console* has room for each row on one line."""
        return self._measured(console)[1] <= console.width

    def print(self, console: Console, titles: Sequence[str]) -> None:
        """Print the titles, the rows and an empty line."""
        for title in titles:
            _print_words(console, Text(title, "italic"))
        if self._measured(console)[0] <= console.width:
            console.print(self._table())
        else:
            self._print_list(console)
        console.print()

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        name, *others = self._headings
        table.add_column(Text(name), overflow=_WHOLE)
        for heading in others:
            justify: Literal["left", "right"] = "left" if heading in self._left or not heading else "right"
            table.add_column(Text(heading), justify=justify, no_wrap=True, overflow=_WHOLE)
        for row, cells in self._rows:
            table.add_row(Text(row), *cells)
        return table

    def _measured(self, console: Console) -> tuple[int, int]:
        """Return the least width in which no word breaks, and the width in which no line does."""
        width = console.measure(self._table(), options=console.options.update(width=1000)).maximum
        names = [row for row, _ in self._rows]
        longest = max((len(name) for name in names), default=0)
        word = max((len(word) for name in names for word in name.split()), default=0)
        return width - longest + word, width

    def _print_list(self, console: Console) -> None:
        for row, cells in self._rows:
            _print_words(console, Text(row))
            parts = [
                Text.assemble(f"{heading} " if heading else "", cell)
                for heading, cell in zip(self._headings[1:], cells, strict=True)
                if cell.plain
            ]
            _print_words(console, Text("  ").append_text(Text("  ").join(parts)))


def print_line(console: Console, text: str) -> None:
    """Print *text*. A terminal breaks its lines between words; a file or a pipe gets one line."""
    if console.is_terminal:
        _print_words(console, Text(text))
    else:
        console.print(Text(text), soft_wrap=True)


def _print_words(console: Console, text: Text) -> None:
    """Print *text* with breaks between words. The terminal breaks a word that is longer than a line."""
    longest = max((len(word) for word in text.plain.split()), default=0)
    if longest > console.width:
        console.print(text, soft_wrap=True)
    else:
        console.print(text, overflow=_WHOLE)
