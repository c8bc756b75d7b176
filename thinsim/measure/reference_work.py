"""A `ReferenceWork`, of the same kind as a discard, shows how fast the machine is now.

A machine's speed changes within seconds: with its clock, and with what else runs on its processors. The work
therefore runs right before and right after a discard, and for about as long as the discard.
"""

import os
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self, cast

from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate
from thinsim.measure.scheduler_times import scheduler_times

_PIECE = bytes(range(256)) * 256
_PIECES = 16
_LOOKUPS = 4000
_KEYS = 1024
_LEAST_UNITS = 4


@dataclass(frozen=True, slots=True)
class ReferenceTimes:
    """`ReferenceTimes` are the sums over some units of the work, in seconds."""

    units: int
    """Number of units."""
    processor: float
    """Seconds on a processor that the computing part took."""
    waited: float
    """Seconds in which the work waited for the disk."""

    def __add__(self, other: "ReferenceTimes") -> "ReferenceTimes":
        return ReferenceTimes(
            self.units + other.units, self.processor + other.processor, self.waited + other.waited
        )


NO_REFERENCE = ReferenceTimes(0, 0.0, 0.0)


class ReferenceWork:
    """A `ReferenceWork` repeats its unit on a file of its own: lookups, checksums, writes, hole punches."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._directory))
        # The written part stays allocated, as the pool's metadata does, so that a flush needs no new blocks.
        for number in range(_PIECES):
            os.pwrite(self._file.fileno(), _PIECE, number * len(_PIECE))
        os.fsync(self._file.fileno())
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def run(self, seconds: float) -> ReferenceTimes:
        """Run units for about *seconds*, and at least a few. OSError if the file system punches no holes."""
        assert self._file is not None, "the work is a context manager"
        before, begun = scheduler_times(), time.perf_counter()
        units, computed = 0, 0.0
        while units < _LEAST_UNITS or time.perf_counter() - begun < seconds:
            _store(self._file.fileno())
            computing = time.thread_time()
            _compute()
            computed += time.thread_time() - computing
            units += 1
        elapsed = time.perf_counter() - begun
        after = scheduler_times()
        if before is None or after is None:
            return NO_REFERENCE
        spent = after.since(before)
        return ReferenceTimes(units, computed, max(0.0, elapsed - spent.processor - spent.delayed))


def _store(fd: int) -> None:
    for number in range(_PIECES):
        os.pwrite(fd, _PIECE, number * len(_PIECE))
    os.fdatasync(fd)
    # These blocks lie behind the flushed ones, and no flush comes before they are punched.
    for number in range(_PIECES, 2 * _PIECES):
        os.pwrite(fd, _PIECE, number * len(_PIECE))
    punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    for number in range(_PIECES, 2 * _PIECES):
        fallocate(fd, punch, number * len(_PIECE), len(_PIECE))


def _compute() -> None:
    # Writes are no part of this: the page cache takes 64 KiB in one piece or in many, as memory allows, and a
    # write then takes a quarter more or less. Discards do not write.
    checksum = 0
    for _ in range(_PIECES // 4):
        checksum = zlib.crc32(_PIECE, checksum)
    seen: dict[int, tuple[int, int]] = {}
    for number in range(_LOOKUPS):
        seen[number % _KEYS] = number, checksum
        checksum ^= seen.get(number * 7 % _KEYS, (0, 0))[0]
