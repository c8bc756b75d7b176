"""`missing` compares shown and printed output by words and order, and ignores numbers. Pure."""

import re
from collections.abc import Sequence

_CHANGES = (
    (re.compile(r"^Time: .*"), "Time:"),  # parts, longest first
    (re.compile(r"\|[ █▓▒░]*\|"), "|▒|"),
    (re.compile(r"[█▓▒░·]+"), "▒"),
    (re.compile(r"─+"), "─"),
    (re.compile(r"(?<![\w/])/[^\s:,\"|]+"), "PATH"),
    (re.compile(r"\bLinux \d[^\s,;]*"), "Linux RELEASE"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+|\b\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b\d[\d.,]*(?: ?(?:[KMGT]iB|[KMGT]B?|B|[mµ]?s|%)(?!\w))?"), "N"),
    (re.compile(r"\s+"), " "),
)


def shape(line: str) -> str:
    """Return *line* with placeholders for numbers, sizes, times, paths, bars and runs of blanks."""
    for pattern, instead in _CHANGES:
        line = pattern.sub(instead, line)
    return line.strip()


def missing(shown: Sequence[str], printed: Sequence[str]) -> str | None:
    """Return the first line of *shown* that *printed* lacks, in order and shape; None if it has all.

    *printed* may have more lines. A shown line that ends in ``...`` is the beginning of a line.
    """
    found = iter([shape(line) for line in printed])
    for line in shown:
        wanted = shape(line)
        if wanted in ("", "..."):
            continue
        beginning = wanted.removesuffix("...") if wanted.endswith("...") else None
        if not any(each.startswith(beginning) if beginning else each == wanted for each in found):
            return line
    return None
