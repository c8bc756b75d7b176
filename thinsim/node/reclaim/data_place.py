"""A `PoolData` is where a pool's data is: it takes discards, and may know what the host has allocated.

The data device takes the discards itself wherever it can. If it is a loop device that refuses them, or whose
granularity is larger than a data block, the file below takes hole punches instead. That is what the loop
driver does with a discard (drivers/block/loop.c, lo_fallocate), so both ways free the same bytes.
"""

import fcntl
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fuse_backing.allocation import Range, allocated_ranges
from fuse_backing.mounts import FSTYPE, mounts
from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate
from thinsim.block import loop
from thinsim.block.kernel_view import discard_limits, sysfs
from thinsim.block.linux import BLKDISCARD
from thinsim.errors import ConflictError, EnvironmentLacksError

_LOOP_MAJOR = 7
_NO_MAP = "only a loop device has a file whose map shows it"


class SpaceFreer(Protocol):
    """A `SpaceFreer` frees ranges of a data device."""

    @property
    def words(self) -> str:
        """Return the way in words, for the report."""

    @property
    def unit(self) -> int:
        """Return the bytes of the smallest range that is freed; ranges begin and end on its multiples."""

    def punch(self, offset: int, length: int) -> None:
        """Free *length* bytes at *offset* of the data device. ``OSError``."""

    def close(self) -> None:
        """Close the file."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A `DataFile` is the file below a loop device, by its path on the host's own file system."""

    path: Path
    offset: int
    """The first byte that the loop device shows."""

    def allocated(self, size: int) -> list[Range]:
        """Return the allocated ranges, as bytes of the data device of *size* bytes. ``OSError``."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = allocated_ranges(fd, self.offset, size)
        finally:
            os.close(fd)
        return [(start - self.offset, end - self.offset) for start, end in found]

    def held(self) -> int:
        """Return the bytes that the host holds for the whole file, as ``st_blocks`` counts them."""
        return self.path.stat().st_blocks * 512


class DevicePunches:
    """`DevicePunches` are discards of the block device *device* (block/ioctl.c, BLKDISCARD)."""

    def __init__(self, device: Path, *, exclusive: bool = False) -> None:
        limits = discard_limits(device)
        if not limits.max_bytes:
            raise EnvironmentLacksError(f"{device} takes no discards: thinsim heights {device} shows why")
        self.words = f"discards of {device}"
        self.unit = max(limits.granularity, 512)
        self._fd = os.open(device, os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if exclusive else 0))

    def punch(self, offset: int, length: int) -> None:
        fcntl.ioctl(self._fd, BLKDISCARD, struct.pack("QQ", offset, length))

    def close(self) -> None:
        os.close(self._fd)


class FilePunches:
    """`FilePunches` are hole punches of a file, from *offset* on: fallocate(2)."""

    def __init__(self, file: Path, offset: int = 0) -> None:
        self.words = f"hole punches of {file}"
        self._fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        self.unit = os.fstatvfs(self._fd).f_frsize or 4096
        self._offset = offset

    def punch(self, offset: int, length: int) -> None:
        fallocate(self._fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, self._offset + offset, length)

    def close(self) -> None:
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class PoolData:
    """A `PoolData` has the freer of a data device, and the file below it; None without a file."""

    device: Path
    size: int
    freer: SpaceFreer
    file: DataFile | None
    unmapped: str = ""
    """The reason why no file is known."""

    def allocated(self) -> list[Range] | None:
        """Return the ranges of the device that the host has allocated; None if nothing shows it."""
        return None if self.file is None else self.file.allocated(self.size)

    def held(self) -> int | None:
        """Return the bytes that the host holds for the file; None without one."""
        return None if self.file is None else self.file.held()

    def close(self) -> None:
        """Close the freer."""
        self.freer.close()


def place_of_device(device: Path, size: int, block_bytes: int) -> PoolData:
    """Return the place of an active pool's data *device*.

    EnvironmentLacksError if neither the device nor a file below it takes discards, or without permission.
    """
    file, why = file_below(device)
    try:
        return PoolData(device, size, _freer(device, file, block_bytes), file, why)
    except PermissionError as error:
        raise EnvironmentLacksError(f"no permission for {error.filename}: run it as root") from error


def place_of_image(path: Path, size: int) -> PoolData:
    """Return the place of a pool's data that no pool uses: a file, or a block device that nobody holds.

    ConflictError if somebody holds it.
    """
    try:
        if stat.S_ISBLK(path.stat().st_mode):
            file, why = file_below(path)
            return PoolData(path, size, DevicePunches(path, exclusive=True), file, why)
        return PoolData(path, size, FilePunches(path), DataFile(path, 0))
    except OSError as error:
        raise ConflictError(f"{path} can't be opened for writing: {error.strerror}") from error


def _freer(device: Path, file: DataFile | None, block_bytes: int) -> SpaceFreer:
    limits = discard_limits(device)
    if file is not None and (not limits.max_bytes or limits.granularity > block_bytes):
        return FilePunches(attached_file(device), file.offset)
    return DevicePunches(device)


def file_below(device: Path) -> tuple[DataFile | None, str]:
    """Return the file below a loop device on the host's file system, or None and the reason.

    For a file of a backing store, that is the file of the store's directory.
    """
    if os.major(device.stat().st_rdev) != _LOOP_MAJOR:
        return None, f"{device} is no loop device: {_NO_MAP}"
    path = attached_file(device)
    node = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        attached = loop.file_of(node)
    finally:
        os.close(node)
    try:
        found = path.stat()
    except OSError as error:
        return None, f"{path} below {device} can't be found: {error.strerror}"
    if (found.st_dev, found.st_ino) != attached[:2]:
        return None, f"{path} is not the file below {device}: it is in another mount namespace, or deleted"
    return DataFile(_on_host(path), attached.offset), ""


def attached_file(device: Path) -> Path:
    """Return the path of the file below a loop device, as the kernel names it."""
    return Path(sysfs(device, "loop/backing_file"))


def _on_host(path: Path) -> Path:
    """Return the host's file for a file of a backing store, and any other path as it is."""
    for mount in mounts():
        if mount.fstype == FSTYPE and path.is_relative_to(mount.mountpoint):
            return Path(mount.source) / path.relative_to(mount.mountpoint)
    return path
