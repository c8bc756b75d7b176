"""`BlockDevice` is the protocol of the devices below a pool: they read, write, discard and flush.

A kernel block device, a sparse file and plain memory implement it, so the same engine runs under FUSE, in
process and in property tests.
"""

from typing import Protocol, runtime_checkable


class BlockDevice(Protocol):
    """A `BlockDevice` is addressed in bytes; offsets and lengths are multiples of 512.

    Each method blocks, and raises ``OSError`` with the errno of the device. On a sparse backing, a range
    that was discarded or never written reads as zeros. Past the end, reads and writes raise EIO and
    discards raise EINVAL.
    """

    @property
    def size(self) -> int:
        """Return the size in bytes."""

    @property
    def max_discard_bytes(self) -> int:
        """Return the length of the longest single discard in bytes; 0 if the device cannot discard."""

    def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of *data* at *offset*."""

    def discard(self, offset: int, length: int) -> None:
        """Free the range; on a sparse backing it then reads as zeros."""

    def flush(self) -> None:
        """Make all writes so far durable."""

    def close(self) -> None:
        """Release the device; idempotent."""


@runtime_checkable
class KernelDevice(BlockDevice, Protocol):
    """A `KernelDevice` has a request queue in the kernel, which also takes write-zeroes requests.

    WRITE_ZEROES is a separate request of the block layer (include/linux/blk_types.h). After it, unlike
    after a discard, the range must read as zeros.
    """

    @property
    def logical_block_size(self) -> int:
        """Return the size of the smallest request in bytes, 512 or more."""

    @property
    def discard_granularity(self) -> int:
        """Return the size of the smallest range that a discard frees, in bytes; 0 without discards."""

    @property
    def max_write_zeroes_bytes(self) -> int:
        """Return the length of the longest write-zeroes request in bytes; 0 if the device takes none."""

    def punch(self, offset: int, length: int) -> None:
        """Zero the range and free its space if possible; EOPNOTSUPP if the device can only write zeroes."""

    def zero(self, offset: int, length: int) -> None:
        """Zero the range and keep its space allocated."""
