"""`open_loop_file` opens the file under a loop device; a `FileBelow` does I/O on it, past the device."""

import errno
import os
import stat
import threading
from pathlib import Path

from fuse_backing.mounts import FSTYPE, mount_of
from thinsim.block import loop
from thinsim.block.interface import BlockDevice
from thinsim.block.kernel_view import sysfs
from thinsim.errors import EnvironmentLacksError

_LOOP_MAJOR = 7
_KEEPS_HOLES = {"btrfs", "ext2", "ext3", "ext4", "xfs"}


def open_loop_file(device: Path) -> int:
    """Return a descriptor of the file whose bytes are those of the loop device, from the first to the last.

    Raises EnvironmentLacksError with the reason if *device* is no such loop device: it has an offset or a
    limit, it is read-only, or its file cannot be found by its name (drivers/block/loop.c). ``OSError`` from
    the file.
    """
    if os.major(device.stat().st_rdev) != _LOOP_MAJOR:
        raise EnvironmentLacksError(f"{device} is no loop device")
    path = Path(sysfs(device.resolve(), "loop/backing_file"))
    node = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        attached = loop.file_of(node)
    finally:
        os.close(node)
    if attached.offset or attached.limit:
        raise EnvironmentLacksError(f"{device} begins or ends within its file")
    if attached.read_only:
        raise EnvironmentLacksError(f"{device} is read-only")
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    found = os.fstat(fd)
    if (found.st_dev, found.st_ino) != attached[:2] or not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise EnvironmentLacksError(f"{path} is not the file under {device}")
    return fd


def holes_stay_free(path: Path) -> bool:
    """Return whether a hole of the file takes no space when it is read through a mapping into memory.

    On tmpfs it does take space (mm/shmem.c, shmem_fault). A file of a backing store is one of the store's
    directory. Where the file system is unknown, the answer is False.
    """
    mount = mount_of(path)
    if mount is not None and mount.fstype == FSTYPE:
        mount = mount_of(Path(mount.source))
    return mount is not None and mount.fstype in _KEEPS_HOLES


class FileBelow:
    """A `FileBelow` reads, writes and flushes the file *fd* under a loop device, past the device.

    Discards go to the *device*. Both belong to the caller. Several threads may use it at once. It raises
    ``OSError`` as the device does.
    """

    def __init__(self, device: BlockDevice, fd: int) -> None:
        self._device = device
        self._fd = fd
        self._size = device.size
        self._counting = threading.Lock()
        self.read_bytes = 0
        """Bytes that were read, which the kernel's counters of the device do not have."""
        self.written_bytes = 0
        """Bytes that were written, which the kernel's counters of the device do not have."""

    @property
    def size(self) -> int:
        """Return the present size of the device in bytes."""
        self._size = self._device.size
        return self._size

    @property
    def max_discard_bytes(self) -> int:
        """Return the device's limit."""
        return self._device.max_discard_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*; EIO past the end of the device."""
        self._check(offset, length)
        found = os.pread(self._fd, length, offset)
        while len(found) < length:
            more = os.pread(self._fd, length - len(found), offset + len(found))
            if not more:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            found += more
        with self._counting:
            self.read_bytes += length
        return found

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of *data*; EIO past the end of the device."""
        self._check(offset, len(data))
        left = memoryview(data)
        while left:
            done = os.pwrite(self._fd, left, offset)
            left, offset = left[done:], offset + done
        with self._counting:
            self.written_bytes += len(data)

    def discard(self, offset: int, length: int) -> None:
        """Discard a range of the device."""
        self._device.discard(offset, length)

    def flush(self) -> None:
        """Make the file's data durable."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the device; the file is the caller's."""
        self._device.close()

    def _check(self, offset: int, length: int) -> None:
        if offset + length > self._size and offset + length > self.size:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
