"""These functions lay out text for the width of a terminal, and break no word."""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence

_NARROWEST = 20
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:B|[KMGTPE]iB|µs|ms|s|min|h)\b)")


def terminal_width() -> int | None:
    """Return the columns of the terminal, or those of $COLUMNS; None for a pipe or a file."""
    if sys.stdout is not None and sys.stdout.isatty():
        return max(_NARROWEST, shutil.get_terminal_size().columns)
    chosen = os.environ.get("COLUMNS", "")
    return max(_NARROWEST, int(chosen)) if chosen.isdigit() and int(chosen) else None


def wrapped(text: str, width: int | None) -> list[str]:
    """Return *text* in lines of at most *width* columns; a longer word has a line of its own.

    A number stays on the line of its unit.
    """
    if width is None or len(text) <= width:
        return [text]
    lines = textwrap.wrap(
        _BEFORE_UNIT.sub("\0", text),
        width,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in lines]


def table(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return rows in columns, the first aligned to the left, all others to the right.

    The first row has the titles. If the columns need more than *width*, each row becomes a list of titles and
    values below its first cell.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        return _listed(rows, width)
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    ]


def pair_lines(titles: Sequence[str], cells: Sequence[str], width: int | None) -> list[str]:
    """Return each title with its cell, as a list in lines of at most *width* columns that split no pair."""
    pairs = [f"{title} {cell}".replace(" ", "\0") for title, cell in zip(titles, cells, strict=True)]
    return [line.replace("\0", " ") for line in wrapped(", ".join(pairs), width)]


def _listed(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    lines = []
    for name, *cells in rows[1:]:
        lines += wrapped(name, width)
        lines += [f"  {line.strip()}" for line in pair_lines(rows[0][1:], cells, width - 2)]
    return lines
