"""`LinuxBlockDevice` reads and writes a kernel block device without the page cache, as dm-thin does.

With ``O_DIRECT`` no cache is between the pool and the device below it. When a write returns, the backing
file has the data, and no dirty page can overwrite a discarded range later.
"""

import errno
import fcntl
import mmap
import os
import stat
import struct
from pathlib import Path

from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate
from thinsim.block.kernel_view import sysfs
from thinsim.errors import InvalidValueError

BLKDISCARD = 0x1277  # linux/fs.h: _IO(0x12, 119)
BLKSECDISCARD = 0x127D  # linux/fs.h: _IO(0x12, 125)
BLKZEROOUT = 0x127F  # linux/fs.h: _IO(0x12, 127)
BLKGETSIZE64 = 0x80081272  # linux/fs.h: _IOR(0x12, 114, size_t)

_BUFFER_SIZE = 1 << 20


class LinuxBlockDevice:
    """A `LinuxBlockDevice` opens ``/dev/...`` and claims it exclusively; EBUSY if it is mounted or claimed.

    With *read_only* it is not claimed, because several thin devices may share an external origin.

    Several threads may use it at once. Raises InvalidValueError if *path* is not a block device, else
    ``OSError`` from the device.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        access = os.O_RDONLY if read_only else os.O_RDWR | os.O_EXCL
        self._fd = os.open(path, access | os.O_DIRECT | os.O_CLOEXEC)
        self._buffers: list[mmap.mmap] = []
        try:
            status = os.fstat(self._fd)
            if not stat.S_ISBLK(status.st_mode):
                raise InvalidValueError(f"{path} is not a block device")
            self.major = os.major(status.st_rdev)
            self.minor = os.minor(status.st_rdev)
            self._size = self._ask_size()
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def size(self) -> int:
        """Return the kernel's present size in bytes: a loop device can grow while it is open."""
        self._size = self._ask_size()
        return self._size

    @property
    def max_discard_bytes(self) -> int:
        """Return the queue's ``discard_max_bytes`` (Documentation/ABI/stable/sysfs-block)."""
        return self._queue_limit("discard_max_bytes")

    @property
    def logical_block_size(self) -> int:
        """Return the queue's ``logical_block_size``, in bytes."""
        return self._queue_limit("logical_block_size") or 512

    @property
    def discard_granularity(self) -> int:
        """Return the queue's ``discard_granularity``, in bytes."""
        return self._queue_limit("discard_granularity")

    @property
    def max_write_zeroes_bytes(self) -> int:
        """Return the queue's ``write_zeroes_max_bytes``."""
        return self._queue_limit("write_zeroes_max_bytes")

    def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*; EIO past the end of the device."""
        if length <= _BUFFER_SIZE:
            return self._read_piece(offset, length)
        pieces = []
        for start in range(offset, offset + length, _BUFFER_SIZE):
            pieces.append(self._read_piece(start, min(_BUFFER_SIZE, offset + length - start)))
        return b"".join(pieces)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of *data*; EIO past the end of the device."""
        # For a write past the end the kernel returns ENOSPC (block/fops.c), which here means a full pool.
        if offset + len(data) > self._size and offset + len(data) > self.size:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path))
        source = memoryview(data)
        buffer = self._take_buffer()
        try:
            for start in range(0, len(source), _BUFFER_SIZE):
                piece = source[start : start + _BUFFER_SIZE]
                with memoryview(buffer) as whole, whole[: len(piece)] as target:
                    target[:] = piece
                    if os.pwritev(self._fd, [target], offset + start) != len(piece):
                        raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path))
        finally:
            self._buffers.append(buffer)

    def discard(self, offset: int, length: int) -> None:
        """Send BLKDISCARD (block/ioctl.c); EINVAL past the end, EOPNOTSUPP if the queue can't discard."""
        fcntl.ioctl(self._fd, BLKDISCARD, struct.pack("QQ", offset, length))

    def punch(self, offset: int, length: int) -> None:
        """Send a WRITE_ZEROES that may unmap (block/fops.c, blkdev_fallocate).

        Raises EOPNOTSUPP if the queue does not take it.
        """
        fallocate(self._fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length)

    def zero(self, offset: int, length: int) -> None:
        """Send BLKZEROOUT; the kernel writes zeroes itself if the queue has no request for it."""
        fcntl.ioctl(self._fd, BLKZEROOUT, struct.pack("QQ", offset, length))

    def flush(self) -> None:
        """Send a flush to the device (block/fops.c, blkdev_fsync)."""
        os.fsync(self._fd)

    def duplicate(self) -> int:
        """Return another descriptor of the open device; the claim lasts until both are closed."""
        return os.dup(self._fd)

    def close(self) -> None:
        """Release the claim; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            for buffer in self._buffers:
                buffer.close()
            self._buffers.clear()

    def _queue_limit(self, name: str) -> int:
        try:
            return int(sysfs(self.path, f"queue/{name}"))
        except FileNotFoundError:
            return 0

    def _ask_size(self) -> int:
        size = bytearray(8)
        fcntl.ioctl(self._fd, BLKGETSIZE64, size)
        return int(struct.unpack("Q", size)[0])

    def _read_piece(self, offset: int, length: int) -> bytes:
        buffer = self._take_buffer()
        try:
            with memoryview(buffer) as whole, whole[:length] as target:
                if os.preadv(self._fd, [target], offset) != length:
                    raise OSError(errno.EIO, os.strerror(errno.EIO), str(self.path))
                return bytes(target)
        finally:
            self._buffers.append(buffer)

    def _take_buffer(self) -> mmap.mmap:
        # O_DIRECT requires memory with the device's DMA alignment; an anonymous mapping is
        # page-aligned. A list's pop and append are atomic, so threads can share the spare buffers.
        try:
            return self._buffers.pop()
        except IndexError:
            return mmap.mmap(-1, _BUFFER_SIZE)
