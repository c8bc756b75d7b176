"""Says what lies below a thin pool: something with a size that reads, writes, discards and flushes.

One protocol (:class:`BlockDevice`) for a kernel block device, a sparse file and plain memory, so
that the same engine runs under FUSE, in process and in property tests.
"""

from typing import Protocol, runtime_checkable


class BlockDevice(Protocol):
    """A device addressed in bytes; offsets and lengths are multiples of 512.

    Every method blocks and raises ``OSError`` with the errno of the device. Reading a discarded
    or never written range of a sparse backing gives zeros. Past the end a read or write is EIO, a
    discard EINVAL.
    """

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def max_discard_bytes(self) -> int:
        """The longest single discard in bytes; 0 when the device cannot discard."""

    def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of *data* at *offset*."""

    def discard(self, offset: int, length: int) -> None:
        """Give the range back; its content reads as zeros on a sparse backing."""

    def flush(self) -> None:
        """Return once everything written is durable."""

    def close(self) -> None:
        """Release the device; idempotent."""


@runtime_checkable
class KernelDevice(BlockDevice, Protocol):
    """A device with a request queue of the kernel's, which takes write-zeroes requests, too.

    WRITE_ZEROES is a request of its own in the block layer (include/linux/blk_types.h): unlike after a
    discard, the range must read as zeros afterwards.
    """

    @property
    def logical_block_size(self) -> int:
        """Bytes of the smallest request, 512 or more."""

    @property
    def discard_granularity(self) -> int:
        """Bytes of the smallest range that a discard gives back; 0 when the device takes no discards."""

    @property
    def max_write_zeroes_bytes(self) -> int:
        """The longest write-zeroes request in bytes; 0 when the device takes none."""

    def punch(self, offset: int, length: int) -> None:
        """Write zeroes and free the space if possible; EOPNOTSUPP when only writing would do."""

    def zero(self, offset: int, length: int) -> None:
        """Write zeroes and keep the space allocated."""
