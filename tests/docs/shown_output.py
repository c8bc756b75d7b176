"""What stays the same in a program's output from run to run: words and their order, not numbers. Pure."""

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
    (re.compile(r"\b\d[\d.,]*(?: ?(?:[KMGT]iB|[KMGT]B?|B|ms|s|%)(?!\w))?"), "N"),
    (re.compile(r"\s+"), " "),
)


def shape(line: str) -> str:
    """Return *line* with every number, size, time, path, bar and run of blanks made equal."""
    for pattern, instead in _CHANGES:
        line = pattern.sub(instead, line)
    return line.strip()


def missing(shown: Sequence[str], printed: Sequence[str]) -> str | None:
    """Return the first line of *shown* that *printed* does not have, in order and shape; None if all are.

    More may have been printed than is shown; a shown line that ends in ``...`` is the beginning of one.
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
