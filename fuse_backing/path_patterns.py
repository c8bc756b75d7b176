"""`matches` compares the path of a file in a store with a shell pattern, such as ``images/*.qcow2``.

A ``*`` also matches a slash, so that a pattern can name everything below a directory.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

_SPECIAL = frozenset("*?[")


def is_pattern(text: str) -> bool:
    """Return whether *text* can match other paths than itself."""
    return not _SPECIAL.isdisjoint(text)


def matches(path: str, pattern: str) -> bool:
    """Return whether the pattern is the path itself, or matches it."""
    return path == pattern or fnmatchcase(path, pattern)


def matching(paths: Iterable[str], pattern: str) -> list[str]:
    """Return the paths that the pattern matches, in their order."""
    return [path for path in paths if matches(path, pattern)]
