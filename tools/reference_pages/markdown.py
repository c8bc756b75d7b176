"""Markdown tables and texts are written here: cells are escaped, docstrings lose their reST."""

import re
from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the cells are Markdown already, but for their bars and line ends."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def prose(docstring: str) -> str:
    """Return a docstring as Markdown: its literals have one backtick, and each paragraph is a line."""
    paragraphs = re.split(r"\n\s*\n", docstring.strip())
    return "\n\n".join(" ".join(each.split()) for each in paragraphs).replace("``", "`")


def code(text: str) -> str:
    """Return *text* as code."""
    return f"`{text}`"


def first_sentence(text: str) -> str:
    """Return the first sentence of a text without its full stop."""
    return re.split(r"\.(?:\s|$)", text, maxsplit=1)[0]


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))
