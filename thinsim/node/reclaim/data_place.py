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

from fuse_backing.allocation import Range
from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate
from thinsim.block.kernel_view import discard_limits
from thinsim.block.linux import BLKDISCARD
from thinsim.errors import ConflictError, EnvironmentLacksError
from thinsim.node.reclaim.data_file import DataFile, attached_file, find_data_file


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


async def place_of_device(device: Path, size: int, block_bytes: int) -> PoolData:
    """Return the place of an active pool's data *device*.

    EnvironmentLacksError if neither the device nor a file below it takes discards, or without permission.
    """
    file, why = await find_data_file(device)
    try:
        return PoolData(device, size, _freer(device, file, block_bytes), file, why)
    except PermissionError as error:
        raise EnvironmentLacksError(f"no permission for {error.filename}: run it as root") from error


async def place_of_image(path: Path, size: int) -> PoolData:
    """Return the place of a pool's data that no pool uses: a file, or a block device that nobody holds.

    ConflictError if somebody holds it.
    """
    try:
        if stat.S_ISBLK(path.stat().st_mode):
            file, why = await find_data_file(path)
            return PoolData(path, size, DevicePunches(path, exclusive=True), file, why)
        return PoolData(path, size, FilePunches(path), DataFile(path, 0))
    except OSError as error:
        raise ConflictError(f"{path} can't be opened for writing: {error.strerror}") from error


def _freer(device: Path, file: DataFile | None, block_bytes: int) -> SpaceFreer:
    limits = discard_limits(device)
    is_loop = file is not None and not file.parts
    if file is not None and is_loop and (not limits.max_bytes or limits.granularity > block_bytes):
        return FilePunches(attached_file(device), file.offset)
    return DevicePunches(device)
