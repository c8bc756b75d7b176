"""The differences that are known, each with its reason. What none of them fits is news."""

import errno
from collections.abc import Callable
from dataclasses import dataclass

from thinsim.conformance.compare import ERRNO_TEXT, Behaviour, Comparison, errno_of
from thinsim.conformance.history import Dmsetup, History, Operation


@dataclass(frozen=True, slots=True)
class _Known:
    subjects: tuple[str, ...]
    fits: Callable[[Comparison, Operation | None, History], bool]
    why: str


def _refused_discard(comparison: Comparison, operation: Operation | None, history: History) -> bool:
    ignores = any("ignore_discard" in trait for trait in history.traits)
    refused = comparison.behaviour is Behaviour.DISCARD and comparison.expected == f"{errno.EOPNOTSUPP:d}"
    return ignores and refused and comparison.found in ("0", f"{errno.EINVAL:d}")


def _missing_path(comparison: Comparison, operation: Operation | None, history: History) -> bool:
    table = operation.words[-1] if isinstance(operation, Dmsetup) else ""
    errnos = tuple(errno_of(text.partition(" ")[2]) for text in (comparison.expected, comparison.found))
    wanted = (f"{ERRNO_TEXT}{errno.ENOENT:d}", f"{ERRNO_TEXT}{errno.ENODEV:d}")
    return comparison.behaviour is Behaviour.COMMAND and "/dev/nothing" in table and errnos == wanted


_KNOWN = (
    _Known(
        ("engine", "emulated"),
        _missing_path,
        "a path that does not exist in a table: ENODEV in Linux 6.1, as here; ENOENT in Linux 6.12",
    ),
    _Known(
        ("emulated",),
        _refused_discard,
        "`ignore_discard`: the node is a loop device, whose BLKDISCARD succeeds and does nothing "
        "(EINVAL past its end); the kernel's refuses with EOPNOTSUPP",
    ),
)


def explanation(comparison: Comparison, operation: Operation | None, subject: str, history: History) -> str:
    """Return why *subject* differs here, as far as it is known; empty if it isn't."""
    for known in _KNOWN:
        if subject in known.subjects and known.fits(comparison, operation, history):
            return known.why
    return ""
