"""Measures one sparse file of the host: its size, what is allocated, what a punch gave back.

What was freed is measured, not assumed: what the host held before, less what it still holds after, by the
accounting of its file system (``accounting``). So that no measurement sees half of another change, the caller
makes changes of one file one at a time. A write into a range while it is being punched is a race of whoever
does both: the write may land before or after the hole, and one that lands in between makes the measurement
smaller.
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
    """What one fallocate or truncation did. All sizes in bytes, the duration in seconds."""

    allocated: int
    """Allocated in the range before."""
    freed: int
    """Given back to the host: what it held for the range before and holds no longer. 0 where the host could
    not say what it holds after."""
    errno: int
    """0, or why the host refused, or could not tell what it holds."""
    duration: float
    """Of the system call alone, without the measuring."""


class SparseFile:
    """An open file descriptor, which stays its opener's to close. All methods block.

    Without an *accounting* the host is taken for one that holds what it maps, in blocks, as ext4 does.
    """

    def __init__(self, fd: int, accounting: HostAccounting | None = None) -> None:
        self.fd = fd
        self._accounting = accounting or MappedAccounting("mapped", os.fstatvfs(fd).f_frsize or 1)

    @property
    def size(self) -> int:
        """The size in bytes."""
        return os.fstat(self.fd).st_size

    def allocated_ranges(self, offset: int, length: int) -> list[Range]:
        """Return what is allocated: see ``fuse_backing.allocation``."""
        return allocated_ranges(self.fd, offset, length)

    def allocated_in(self, offset: int, length: int) -> int:
        """Return how many bytes of the range are allocated, by the host's accounting. Raises OSError."""
        return self._accounting.measure(self.fd, offset, length).allocated

    def punch(self, offset: int, length: int) -> AllocationChange:
        """Deallocate the range; reading it gives zeroes. The size stays."""
        return self.change(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length)

    def zero(self, offset: int, length: int, *, keep_size: bool = True) -> AllocationChange:
        """Make the range read as zeroes; the host keeps it allocated if it can."""
        return self.change(FALLOC_FL_ZERO_RANGE | (FALLOC_FL_KEEP_SIZE if keep_size else 0), offset, length)

    def allocate(self, offset: int, length: int, *, keep_size: bool = True) -> AllocationChange:
        """Allocate what is a hole in the range."""
        return self.change(FALLOC_FL_KEEP_SIZE if keep_size else 0, offset, length)

    def change(self, mode: int, offset: int, length: int) -> AllocationChange:
        """Do one fallocate(2) with any *mode* and measure it.

        A refusal of the host is in the result's ``errno``, as it is part of the record. So is the reason why
        the allocation before cannot be read: nothing is done then, since it could not be measured.
        """
        return self._measured(offset, length, lambda: fallocate(self.fd, mode, offset, length))

    def truncate(self, size: int) -> AllocationChange:
        """Set the size with ftruncate(2) and measure what the host got back, as ``change`` does."""
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
            freed = 0  # it is done, but not measured: nothing is claimed
        return AllocationChange(measurement.allocated, freed, number, duration)

    def allocated(self) -> int:
        """Return how many bytes of the whole file are allocated, also beyond its end."""
        return allocated_bytes(self.fd, 0, (1 << 63) - 1)
