"""A `Filter` matches entries by their fields.

It follows containerd ``pkg/filters/filter.go``. A missing field counts as empty for ``!=`` and ``~=``.
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
"""Returns the value of the field at a path, or None if the entry has no such field."""


class Operator(StrEnum):
    """An `Operator` compares a field with the selector's value."""

    PRESENT = "?"
    EQUAL = "=="
    NOT_EQUAL = "!="
    MATCHES = "~="


@dataclass(frozen=True, slots=True)
class Selector:
    """A `Selector` is one condition on one field; *value* is empty for PRESENT."""

    path: tuple[str, ...]
    operator: Operator = Operator.PRESENT
    value: str = ""

    def matches(self, entry: Adaptor) -> bool:
        """Return whether the entry matches. An invalid regular expression is logged and matches nothing."""
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
    """A `Filter` matches an entry if all selectors of one of its *alternatives* match.

    An alternative without selectors matches everything.
    """

    alternatives: tuple[tuple[Selector, ...], ...]

    def matches(self, entry: Adaptor) -> bool:
        """Return whether the filter selects the entry."""
        return any(all(part.matches(entry) for part in selectors) for selectors in self.alternatives)


class _Pattern(Protocol):
    def search(self, text: str) -> object: ...


@cache
def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False  # RE2 would write errors to standard error
    return options


def _compiled(pattern: str) -> _Pattern | None:
    """Compile with RE2: it has Go's syntax, and runs in linear time on any pattern from a client."""
    try:
        compiled: _Pattern = re2.compile(pattern, _options())
    except (re2.error, UnicodeEncodeError):
        _log.error("filter value %r is not a regular expression and matches nothing", pattern)
        return None
    return compiled
