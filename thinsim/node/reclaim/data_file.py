"""A `DataFile` is the file below a pool's data device, whose map shows what the host has allocated."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuse_backing.allocation import Range, allocated_ranges
from fuse_backing.mounts import FSTYPE, mounts
from thinsim.block import loop
from thinsim.block.kernel_view import sysfs
from thinsim.errors import ThinsimError
from thinsim.node.stack.height import HeightKind, StackHeight
from thinsim.node.stack.linear_parts import LinearPart, linear_parts
from thinsim.node.stack.walking import heights_of
from thinsim.ranges import total

_LOOP_MAJOR = 7
_NO_MAP = "only a loop device has a file whose map shows it"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A `DataFile` is the file below a data device, by its path on the host's own file system."""

    path: Path
    offset: int
    """The first byte that the loop device shows."""
    parts: Sequence[LinearPart] = ()
    """The parts of a device that is on the loop device, each with its place there. Without parts, the data
    device is the loop device."""

    def allocated(self, size: int) -> list[Range]:
        """Return the allocated ranges, as bytes of the data device of *size* bytes. ``OSError``."""
        found: list[Range] = []
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for part in self.parts or (LinearPart(0, size, 0),):
                start = self.offset + part.start
                for begin, end in allocated_ranges(fd, start, min(part.length, size - part.begin)):
                    found.append((part.begin + begin - start, part.begin + end - start))
        finally:
            os.close(fd)
        return found

    def held(self) -> int:
        """Return the bytes that the host holds for the device, or for the whole file, if it shows a file."""
        if self.parts:
            return total(self.allocated(self.parts[-1].begin + self.parts[-1].length))
        return self.path.stat().st_blocks * 512


async def find_data_file(device: Path) -> tuple[DataFile | None, str]:
    """Return the file below *device*: a loop device, or a partition or linear volume on one.

    Returns None and the reason if there is no such file.
    """
    try:
        heights = await heights_of(device)
    except ThinsimError:  # a height far below cannot be found
        return file_below(device)
    return data_file(device, heights)


def data_file(device: Path, heights: Sequence[StackHeight]) -> tuple[DataFile | None, str]:
    """Return the file below *device*, whose *heights* are known. As `find_data_file`."""
    if heights[0].kind is HeightKind.LOOP:
        return file_below(device)
    found = linear_parts(heights)
    if found is None:
        return None, f"{device} is not on a single loop device: {_NO_MAP}"
    height, parts = found
    file, why = file_below(Path(height.name))
    return (None, why) if file is None else (DataFile(file.path, file.offset, parts), "")


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
