"""`SparseFile` measures one sparse file of the host: its size, its allocation, and the effect of a punch.

Freed bytes are measured, not assumed: the bytes that the host held before, less the bytes that it still holds
after, by the accounting of its file system (``accounting``). The caller must make changes of one file one at
a time, so that no measurement sees half of another change. A write into a range during its punch is a race of
the writer: the data may land before or after the hole, and a write in between makes the measurement smaller.
"""

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from fuse_backing.accounting.interface import EVERYTHING, HostAccounting
from fuse_backing.accounting.mapped import MappedAccounting
from fuse_backing.allocation import Range, allocated_bytes, allocated_ranges
from fuse_backing.system_calls import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    fallocate,
)


@dataclass(frozen=True, slots=True)
class AllocationChange:
    """An `AllocationChange` is the result of one fallocate or truncation. Sizes are bytes, times seconds."""

    allocated: int
    """Bytes of the range that were allocated before."""
    freed: int
    """Bytes that the host held for the range before and no longer holds; 0 if that could not be measured."""
    errno: int
    """0, or the errno with which the host refused the change or the measurement before it."""
    duration: float
    """Seconds that the system call took, without the measurement."""


class SparseFile:
    """A `SparseFile` changes and measures an open file, which its opener closes. All methods block.

    Without an *accounting*, the host is assumed to hold the blocks that the file maps, as ext4 does.
    """

    def __init__(self, fd: int, accounting: HostAccounting | None = None) -> None:
        self.fd = fd
        self._accounting = accounting or MappedAccounting("mapped", os.fstatvfs(fd).f_frsize or 1)

    @property
    def size(self) -> int:
        """Return the size in bytes."""
        return os.fstat(self.fd).st_size

    def allocated_ranges(self, offset: int, length: int) -> list[Range]:
        """Return the allocated ranges in the given one: see ``fuse_backing.allocation``."""
        return allocated_ranges(self.fd, offset, length)

    def allocated_in(self, offset: int, length: int) -> int:
        """Return how many bytes of the range are allocated, by the host's accounting. Raises OSError."""
        return self._accounting.measure(self.fd, offset, length).allocated

    def punch(self, offset: int, length: int) -> AllocationChange:
        """Punch a hole: free the range, which then reads as zeroes. The size stays."""
        return self.change(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length)

    def zero(self, offset: int, length: int, *, keep_size: bool = True) -> AllocationChange:
        """Make the range read as zeroes; the host keeps it allocated if it can."""
        return self.change(FALLOC_FL_ZERO_RANGE | (FALLOC_FL_KEEP_SIZE if keep_size else 0), offset, length)

    def allocate(self, offset: int, length: int, *, keep_size: bool = True) -> AllocationChange:
        """Allocate the holes in the range."""
        return self.change(FALLOC_FL_KEEP_SIZE if keep_size else 0, offset, length)

    def change(self, mode: int, offset: int, length: int) -> AllocationChange:
        """Do one fallocate(2) with any *mode* and measure it.

        A refusal of the host is in the result's ``errno``, since it is part of the record. If the allocation
        before cannot be read, nothing is done, and ``errno`` has the reason.
        """
        return self._measured(offset, length, lambda: fallocate(self.fd, mode, offset, length))

    def truncate(self, size: int) -> AllocationChange:
        """Set the size with ftruncate(2), and measure the freed bytes as ``change`` does."""
        return self._measured(size, EVERYTHING - size, lambda: os.ftruncate(self.fd, size))

    def _measured(self, offset: int, length: int, act: Callable[[], None]) -> AllocationChange:
        try:
            measurement = self._accounting.measure(self.fd, offset, length)
        except OSError as error:
            return AllocationChange(0, 0, error.errno or errno.EIO, 0.0)
        number = 0
        began = time.perf_counter()
        try:
            act()
        except OSError as error:
            number = error.errno or 0
        duration = time.perf_counter() - began
        try:
            freed = measurement.freed()
        except OSError:
            freed = 0  # the change is done but not measured: claim nothing
        return AllocationChange(measurement.allocated, freed, number, duration)

    def allocated(self) -> int:
        """Return how many bytes of the whole file are allocated, including bytes beyond its end."""
        return allocated_bytes(self.fd, 0, (1 << 63) - 1)
