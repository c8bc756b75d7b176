"""One sparse file of the host: its size, what is allocated, and what a punch gave back.

What was freed is measured, not assumed: the allocated ranges before, less those still allocated after. So
that no measurement sees half of another change, the caller makes changes of one file one at a time. A
write into a range while it is being punched is a race of whoever does both: the write may land before or
after the hole, and one that lands in between makes the measurement smaller.
"""

import os
import time
from dataclasses import dataclass

from fuse_backing._syscalls import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    fallocate,
)
from fuse_backing.allocation import Range, allocated_bytes, allocated_ranges, extents, merged, total, without


@dataclass(frozen=True, slots=True)
class Change:
    """What one fallocate did. All sizes in bytes, the duration in seconds."""

    allocated: int
    """Allocated in the range before."""
    freed: int
    """Given back to the host: no longer allocated after, and not shared with another file before. 0 where the
    host could not say what is allocated after."""
    errno: int
    """0, or why the host refused."""
    duration: float
    """Of the fallocate alone, without the measuring."""


class SparseFile:
    """An open file descriptor, which stays its opener's to close. All methods block."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @property
    def size(self) -> int:
        """The size in bytes."""
        return os.fstat(self.fd).st_size

    def allocated_ranges(self, offset: int, length: int) -> list[Range]:
        """Return what is allocated: see ``fuse_backing.allocation``."""
        return allocated_ranges(self.fd, offset, length)

    def punch(self, offset: int, length: int) -> Change:
        """Deallocate the range; reading it gives zeroes. The size stays."""
        return self.change(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length)

    def zero(self, offset: int, length: int, *, keep_size: bool = True) -> Change:
        """Make the range read as zeroes; the host keeps it allocated if it can."""
        return self.change(FALLOC_FL_ZERO_RANGE | (FALLOC_FL_KEEP_SIZE if keep_size else 0), offset, length)

    def allocate(self, offset: int, length: int, *, keep_size: bool = True) -> Change:
        """Allocate what is a hole in the range."""
        return self.change(FALLOC_FL_KEEP_SIZE if keep_size else 0, offset, length)

    def change(self, mode: int, offset: int, length: int) -> Change:
        """Do one fallocate(2) with any *mode* and measure it.

        A refusal of the host is in the result's ``errno``, as it is part of the record. Raises OSError, and
        has done nothing, if the allocation before cannot be read.
        """
        # The host frees whole blocks, also one of which the range covers only what lies before the
        # end of the file: so what is freed is measured on whole blocks around the range.
        start, end = self._whole_blocks(offset, length)
        before = extents(self.fd, start, end - start)
        number = 0
        began = time.perf_counter()
        try:
            fallocate(self.fd, mode, offset, length)
        except OSError as error:
            number = error.errno or 0
        duration = time.perf_counter() - began
        own = merged((extent.start, extent.end) for extent in before if not extent.shared)
        try:
            after = allocated_ranges(self.fd, start, end - start) if before else []
        except OSError:
            after = own  # it is done, but not measured: nothing is claimed
        held = merged(
            (max(extent.start, offset), min(extent.end, offset + length))
            for extent in before
            if extent.start < offset + length and extent.end > offset
        )
        return Change(total(held), total(without(own, after)), number, duration)

    def allocated(self) -> int:
        """Return how many bytes of the whole file are allocated, also beyond its end."""
        return allocated_bytes(self.fd, 0, (1 << 63) - 1)

    def _whole_blocks(self, offset: int, length: int) -> Range:
        block = os.fstatvfs(self.fd).f_frsize or 1
        return offset // block * block, -(-(offset + length) // block) * block
