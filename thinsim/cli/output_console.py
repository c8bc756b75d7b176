"""Opens the consoles for tables and notes: standard output, standard error, as wide as fits."""

import re
import sys
from typing import TextIO, cast

from rich.console import Console

_UNBOUNDED_WIDTH = 200
"""Of a table that goes to a pipe or a file, which have no width."""


def output_console() -> Console:
    """Return the console of standard output; into a pipe or a file no column is cut.

    Names and paths of users are shown as they are: square brackets in them are no markup.
    """
    console = Console(markup=False)
    if console.is_terminal or sys.stdout is None:  # closed when the command was started
        return console
    return Console(file=cast(TextIO, _Trimmed(sys.stdout)), width=_UNBOUNDED_WIDTH, markup=False)


def notes_console() -> Console:
    """Return the console of standard error; it breaks no line: paths in them are to be copied."""
    return Console(stderr=True, markup=False, soft_wrap=True)


class _Trimmed:
    """A text stream that drops blanks before the end of a line: padding of the last column."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(re.sub(r" +(?=\n)", "", text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
