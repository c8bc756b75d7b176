"""`Explainer` finds the reason for each known difference; a difference without a reason is news."""

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass

from thinsim.block.loop_limits import kernel_clears_limits
from thinsim.conformance.answers.answer import Recording
from thinsim.conformance.answers.compare import ERRNO_TEXT, AnswerComparison, Behaviour, errno_of
from thinsim.conformance.histories.history import BlockRequest, Dmsetup, HistoryOperation, QueueLimits, Read
from thinsim.units import SECTOR_SIZE


@dataclass(frozen=True, slots=True)
class _Known:
    subjects: tuple[str, ...]
    fits: Callable[[AnswerComparison, HistoryOperation | None, Recording], bool]
    why: str
    for_one_read: bool = False
    """A difference in the next read follows from this one."""


def _refused_discard(
    comparison: AnswerComparison, operation: HistoryOperation | None, expected: Recording
) -> bool:
    ignores = any("ignore_discard" in trait for trait in expected.history.traits)
    refused = comparison.behaviour is Behaviour.DISCARD and comparison.expected == f"{errno.EOPNOTSUPP:d}"
    return (
        not kernel_clears_limits() and ignores and refused and comparison.found in ("0", f"{errno.EINVAL:d}")
    )


def _missing_path(
    comparison: AnswerComparison, operation: HistoryOperation | None, expected: Recording
) -> bool:
    table = operation.words[-1] if isinstance(operation, Dmsetup) else ""
    errnos = tuple(errno_of(text.partition(" ")[2]) for text in (comparison.expected, comparison.found))
    wanted = (f"{ERRNO_TEXT}{errno.ENOENT:d}", f"{ERRNO_TEXT}{errno.ENODEV:d}")
    return comparison.behaviour is Behaviour.COMMAND and "/dev/nothing" in table and errnos == wanted


def _fua(comparison: AnswerComparison, operation: HistoryOperation | None, expected: Recording) -> bool:
    texts = (re.sub(r"fua \d", "", text) for text in (comparison.expected, comparison.found))
    return comparison.behaviour is Behaviour.LIMITS and len(set(texts)) == 1


def _read_only_first(
    comparison: AnswerComparison, operation: HistoryOperation | None, expected: Recording
) -> bool:
    refused = comparison.expected.strip() in (f"{errno.EINVAL:d}", f"{errno.EOPNOTSUPP:d}")
    return comparison.behaviour is Behaviour.REQUEST and refused and comparison.found == f"{errno.EPERM:d} "


def _lower_limit(
    comparison: AnswerComparison, operation: HistoryOperation | None, expected: Recording
) -> bool:
    """Match a linear or striped device whose loop device has begun to refuse requests for zeros."""
    if not kernel_clears_limits():
        return False
    if isinstance(operation, QueueLimits):
        return comparison.found == comparison.expected.replace(_TAKES_ZEROES, _REFUSES_ZEROES)
    if isinstance(operation, BlockRequest):
        return (comparison.expected, comparison.found) == ("0 ", f"{errno.EOPNOTSUPP:d} ")
    return False


def _zero_and_error(
    comparison: AnswerComparison, operation: HistoryOperation | None, expected: Recording
) -> bool:
    if isinstance(operation, QueueLimits):
        fits = comparison.found == _without_discards(comparison.expected)
    elif isinstance(operation, BlockRequest) and operation.kind == "BLKDISCARD":
        fits = comparison.found == f"{errno.EOPNOTSUPP:d} "
    else:
        return False
    kinds = {words[2] for words in _last_table(operation.device, comparison.index, expected)}
    return fits and bool(kinds & {"zero", "error"})


def _small_chunks(
    comparison: AnswerComparison, operation: HistoryOperation | None, expected: Recording
) -> bool:
    """Match chunks that are smaller than a logical block of the device below."""
    if not isinstance(operation, Read) or comparison.behaviour not in (Behaviour.READ, Behaviour.OTHER):
        return False
    return any(
        words[2] == "striped" and int(words[4]) * SECTOR_SIZE < expected.history.logical_block
        for words in _last_table(operation.device, comparison.index, expected)
    )


def _last_table(device: str, index: int, expected: Recording) -> list[list[str]]:
    """Return the words of each line of the last table of *device* before operation *index*."""
    tables = [
        each.words[-1]
        for each in expected.history.operations[:index]
        if isinstance(each, Dmsetup) and f"{{{device}}}" in each.words and "--table" in each.words
    ]
    return [line.split() for line in tables[-1].splitlines()] if tables else []


def _without_discards(limits: str) -> str:
    return re.sub(r"discard_granularity \d+, discard_max_bytes not 0", _NO_DISCARDS, limits)


_NO_DISCARDS = "discard_granularity 0, discard_max_bytes 0"
_TAKES_ZEROES, _REFUSES_ZEROES = "write_zeroes_max_bytes not 0", "write_zeroes_max_bytes 0"

_KNOWN = (
    _Known(
        ("engine", "emulated"),
        _missing_path,
        "A table names a path that does not exist. Linux 6.1 and thinsim return ENODEV, Linux 6.12 returns "
        "ENOENT (drivers/md/dm-table.c, dm_get_device).",
    ),
    _Known(
        ("emulated",),
        _refused_discard,
        "With `ignore_discard` the kernel's thin device refuses a discard with EOPNOTSUPP. thinsim's device "
        "node is a loop device, and before Linux 6.9 the loop driver accepts discards: BLKDISCARD succeeds "
        "and does nothing, or returns EINVAL past the end of the device (drivers/block/loop.c).",
    ),
    _Known(
        ("emulated",),
        _fua,
        "The kernel's thin device offers FUA (`queue/fua`). thinsim's loop device does not "
        "(drivers/block/loop.c), so a write with O_DSYNC becomes a write and a flush.",
    ),
    _Known(
        ("emulated",),
        _read_only_first,
        "A device is read-only. Linux 6.1 checks the request first. The newer kernel that ran thinsim first "
        "returns EPERM (block/ioctl.c, blk_ioctl_discard; block/blk-lib.c, blkdev_issue_zeroout).",
    ),
    _Known(
        ("emulated",),
        _zero_and_error,
        "The targets zero and error accept discards in newer kernels, but not in Linux 6.1 and thinsim "
        "(drivers/md/dm-zero.c, dm-target.c).",
        for_one_read=True,
    ),
    _Known(
        ("emulated",),
        _small_chunks,
        "A striped target has chunks that are smaller than a logical block. Linux 6.1 passes requests to "
        "such chunks on; Linux 6.18 and thinsim refuse them with EIO.",
    ),
    _Known(
        ("emulated",),
        _lower_limit,
        "A linear or striped device is on a loop device whose file is on tmpfs, which cannot zero a range. "
        "After the first refusal Linux 6.9 and later refuse all requests for zeros (drivers/block/loop.c, "
        "loop_clear_limits). Linux 6.1 continues to send them to the file.",
        for_one_read=True,
    ),
)


def known_reasons() -> list[str]:
    """Return the reasons of all differences that are known."""
    return [known.why for known in _KNOWN]


class Explainer:
    """An `Explainer` explains the differences between *subject* and *expected*, the kernel's recording.

    Call `why` in the order of the history: later differences may follow from earlier ones.
    """

    def __init__(self, subject: str, expected: Recording) -> None:
        self._subject = subject
        self._expected = expected
        self._of_next = (-1, "")
        """The index of the next read, and the reason if it differs."""

    def why(self, comparison: AnswerComparison, operation: HistoryOperation | None) -> str:
        """Return the known reason for a difference, or an empty string."""
        for known in _KNOWN:
            if self._subject in known.subjects and known.fits(comparison, operation, self._expected):
                if known.for_one_read:
                    self._of_next = (comparison.index + 1, known.why)
                return known.why
        if comparison.behaviour is Behaviour.READ and comparison.index == self._of_next[0]:
            return self._of_next[1]
        return ""
