"""`output_console` opens the console for tables, the others the consoles for notes and for warnings."""

import re
import sys
import textwrap
from typing import TextIO, cast

from rich.console import Console
from rich.table import Table

from thinsim.cli.quiet import is_quiet
from thinsim.report.whole_words import WholeWords

_UNBOUNDED_WIDTH = 200
"""Width in columns of a table that goes to a pipe or a file, which have no width of their own."""


def output_console() -> Console:
    """Return the console of standard output. It cuts no column in a pipe or a file.

    Square brackets in the names and paths of users are no markup.
    """
    console = Console(markup=False)
    if console.is_terminal or sys.stdout is None:  # closed at the start of the command
        return console
    return Console(file=cast(TextIO, _Trimmed(sys.stdout)), width=_UNBOUNDED_WIDTH, markup=False)


def print_table(table: Table) -> None:
    """Print the complete *table* on standard output without breaking a word."""
    output_console().print(WholeWords(table), crop=False)


def print_words(text: str, style: str | None = None) -> None:
    """Print *text* on standard output: on one line, or at a terminal with line breaks between words."""
    console = output_console()
    if console.is_terminal:
        text = textwrap.fill(text, console.width, break_long_words=False, break_on_hyphens=False)
    console.print(text, style=style, highlight=False, soft_wrap=True)


def notes_console() -> Console:
    """Return the console for progress, on standard error. It prints nothing if the command is quiet."""
    return Console(stderr=True, markup=False, soft_wrap=True, quiet=is_quiet())


def warnings_console() -> Console:
    """Return the console of standard error. It breaks no line, so that users can copy paths."""
    return Console(stderr=True, markup=False, soft_wrap=True)


class _Trimmed:
    """A `_Trimmed` stream drops the spaces at the end of a line, the padding of the last column."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(re.sub(r" +(?=\n)", "", text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
