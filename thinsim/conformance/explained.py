"""The differences that are known, each with its reason. What none of them fits is news."""

import errno
from collections.abc import Callable
from dataclasses import dataclass

from thinsim.conformance.compare import Behaviour, Comparison
from thinsim.conformance.history import Dmsetup, History, Operation


@dataclass(frozen=True, slots=True)
class _Known:
    subjects: tuple[str, ...]
    fits: Callable[[Comparison, Operation | None, History], bool]
    why: str


def _refused_discard(comparison: Comparison, operation: Operation | None, history: History) -> bool:
    refused = str(int(errno.EOPNOTSUPP))
    return comparison.behaviour is Behaviour.DISCARD and (comparison.expected, comparison.found) == (
        refused,
        "0",
    )


def _file_as_pool(comparison: Comparison, operation: Operation | None, history: History) -> bool:
    table = operation.words[-1] if isinstance(operation, Dmsetup) else ""
    return comparison.behaviour is Behaviour.COMMAND and " thin {" in table


def _other_requests(comparison: Comparison, operation: Operation | None, history: History) -> bool:
    same = comparison.expected.partition(", ")[2] == comparison.found.partition(", ")[2]
    return comparison.behaviour is Behaviour.PASSED_DOWN and same


def _odd_pieces(comparison: Comparison, operation: Operation | None, history: History) -> bool:
    sizes = [trait.split()[2] for trait in history.traits if trait.startswith("block size ")]
    odd = any(int(size) & (int(size) - 1) for size in sizes)
    return odd and comparison.behaviour in (
        Behaviour.USED_DATA,
        Behaviour.MAPPED,
        Behaviour.CONTENTS,
        Behaviour.HOST,
        Behaviour.PASSED_DOWN,
        Behaviour.DUMP,
    )


def _missing_path(comparison: Comparison, operation: Operation | None, history: History) -> bool:
    table = operation.words[-1] if isinstance(operation, Dmsetup) else ""
    return comparison.behaviour is Behaviour.COMMAND and "/dev/nothing" in table


def _too_long(comparison: Comparison, operation: Operation | None, history: History) -> bool:
    table = operation.words[-1] if isinstance(operation, Dmsetup) else ""
    return comparison.behaviour is Behaviour.COMMAND and table.startswith("0 99999999 thin-pool")


_KNOWN = (
    _Known(
        ("engine", "emulated"),
        _missing_path,
        "a path that does not exist in a table: ENODEV in Linux 6.1, as here; ENOENT in Linux 6.12",
    ),
    _Known(
        ("emulated",),
        _too_long,
        "a pool longer than its data device: the kernel refuses the load, thinsim the resume, both EINVAL",
    ),
    _Known(
        ("emulated",),
        _odd_pieces,
        "blocks of no power of two: this machine's own block layer cuts a discard of its loop device "
        "elsewhere than the other kernel cuts one of a thin device, so that other blocks are whole",
    ),
    _Known(
        ("emulated",),
        _other_requests,
        "the same bytes are discarded at the data's loop device, in another number of requests",
    ),
    _Known(
        ("engine",),
        _file_as_pool,
        "a thin device on what is no pool: the history names a loop device (EINVAL), for which the "
        "engine has a file, no device at all (ENODEV)",
    ),
    _Known(
        ("emulated",),
        _refused_discard,
        "`ignore_discard`: the node is a loop device, whose BLKDISCARD succeeds and does nothing; "
        "the kernel's refuses with EOPNOTSUPP",
    ),
)


def explanation(comparison: Comparison, operation: Operation | None, subject: str, history: History) -> str:
    """Return why *subject* differs here, as far as it is known; empty if it isn't."""
    for known in _KNOWN:
        if subject in known.subjects and known.fits(comparison, operation, history):
            return known.why
    return ""
