"""The differences that are known, each with its reason. What none of them fits is news."""

import errno
from collections.abc import Callable
from dataclasses import dataclass

from thinsim.conformance.compare import Behaviour, Comparison
from thinsim.conformance.history import Operation


@dataclass(frozen=True, slots=True)
class _Known:
    subjects: tuple[str, ...]
    fits: Callable[[Comparison, Operation | None], bool]
    why: str


def _refused_discard(comparison: Comparison, operation: Operation | None) -> bool:
    refused = str(int(errno.EOPNOTSUPP))
    return comparison.behaviour is Behaviour.DISCARD and (comparison.expected, comparison.found) == (
        refused,
        "0",
    )


_KNOWN = (
    _Known(
        ("emulated",),
        _refused_discard,
        "`ignore_discard`: the node is a loop device, whose BLKDISCARD succeeds and does nothing; "
        "the kernel's refuses with EOPNOTSUPP",
    ),
)


def explanation(comparison: Comparison, operation: Operation | None, subject: str) -> str:
    """Return why *subject* differs here, as far as it is known; empty if it isn't."""
    for known in _KNOWN:
        if subject in known.subjects and known.fits(comparison, operation):
            return known.why
    return ""
