"""`line_of` finds the line of a key in a TOML text.

tomllib reports no lines, so longer and longer beginnings of the text are parsed. A beginning that ends after
a whole statement is TOML itself; the first one that has the key ends with the key's line. This is slow, but
only errors need it, in files of a few hundred lines.
"""

import tomllib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

Path = Sequence[str | int]

_ENDINGS = ("", "\n]", "\n]]")
"""A list of inline tables spans several lines; these endings close it after any of them."""


def line_of(text: str, path: Path) -> int:
    """Return the line, from 1, on which the value at *path* of the valid TOML *text* begins.

    If the path does not exist, because a key is missing, return the line of the nearest table around it.
    """
    while path:
        complete = 0  # lines of the last whole beginning
        for end, document in _beginnings(text):
            if _has(document, path):
                return complete + 1
            complete = end
        path = path[:-1]
    return 1


@lru_cache(maxsize=1)
def _beginnings(text: str) -> list[tuple[int, dict[str, Any]]]:
    """Return every beginning that is valid TOML: its number of lines, and its content."""
    lines = text.split("\n")
    parsed = ((end, _parsed("\n".join(lines[:end]))) for end in range(1, len(lines) + 1))
    return [(end, document) for end, document in parsed if document is not None]


def _parsed(text: str) -> dict[str, Any] | None:
    for ending in _ENDINGS:
        try:
            return tomllib.loads(text + ending)
        except tomllib.TOMLDecodeError:
            continue
    return None


def _has(document: object, path: Path) -> bool:
    for part in path:
        if isinstance(document, dict) and isinstance(part, str):
            if part not in document:
                return False
            document = document[part]
        elif isinstance(document, list) and isinstance(part, int):
            if not -len(document) <= part < len(document):
                return False
            document = document[part]
        else:
            return False
    return True
