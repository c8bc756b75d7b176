"""Says what a filter asks for, and whether an entry fits it.

containerd ``pkg/filters/filter.go``. A field that an entry lacks counts as empty for ``!=`` and ``~=``.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Protocol, TypeAlias

import re2

_log = logging.getLogger(__name__)

Adaptor: TypeAlias = Callable[[Sequence[str]], str | None]
"""Gives the value of the field at a path, None where an entry has no such field."""


class Operator(StrEnum):
    """How a selector compares."""

    PRESENT = "?"
    EQUAL = "=="
    NOT_EQUAL = "!="
    MATCHES = "~="


@dataclass(frozen=True, slots=True)
class Selector:
    """One condition; *value* is empty for PRESENT."""

    path: tuple[str, ...]
    operator: Operator = Operator.PRESENT
    value: str = ""

    def matches(self, entry: Adaptor) -> bool:
        """Tell whether the entry fits. A value that is no regular expression fits nothing, and is logged."""
        found = entry(self.path)
        match self.operator:
            case Operator.PRESENT:
                return found is not None
            case Operator.EQUAL:
                return found == self.value
            case Operator.NOT_EQUAL:
                return (found or "") != self.value
            case Operator.MATCHES:
                pattern = _compiled(self.value)
                return pattern is not None and pattern.search(found or "") is not None


@dataclass(frozen=True, slots=True)
class Filter:
    """*alternatives* of which one must fit: all selectors of it. No selectors fit everything."""

    alternatives: tuple[tuple[Selector, ...], ...]

    def matches(self, entry: Adaptor) -> bool:
        """Tell whether the entry is wanted."""
        return any(all(part.matches(entry) for part in selectors) for selectors in self.alternatives)


class _Pattern(Protocol):
    def search(self, text: str) -> object: ...


@cache
def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False  # it writes to standard error by itself
    return options


def _compiled(pattern: str) -> _Pattern | None:
    """Compile with RE2, whose syntax Go has too, and whose time is linear whatever a client sends."""
    try:
        compiled: _Pattern = re2.compile(pattern, _options())
    except (re2.error, UnicodeEncodeError):
        _log.error("not a regular expression, it fits nothing: %r", pattern)
        return None
    return compiled
