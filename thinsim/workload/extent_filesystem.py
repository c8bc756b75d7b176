"""`ExtentFiles` is a simple file system of extents for rigs that cannot mount.

It replaces ext4 in scenarios that are about blocks. New files take free extents, lowest first. An overwrite
stays in place, a deletion discards nothing, and a trim discards all free extents. The directory is at the
start of the device, so a snapshot inherits it, and a change of it breaks sharing like any other write.
"""

import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypedDict

from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.errors import InvalidValueError
from thinsim.snapshotter.interface import Mount
from thinsim.workload.image.archive import Image

_AREA = 256 << 10
"""Size of the directory in bytes."""

_ALIGNMENT = 4096
_PIECE = 1 << 20
_PATTERN = (bytes(range(1, 252)) * 4200)[:_PIECE]
"""Data that is never all zero, so that the host allocates space as it does for real data."""


class _Directory(TypedDict):
    files: dict[str, list[tuple[int, int]]]
    """Extents of each name, as (offset, length) in bytes."""


class ExtentFiles:
    """An `ExtentFiles` is a SnapshotFiles and SnapshotHost on the devices of *dm*, in this process."""

    def __init__(self, dm: LocalDeviceMapper) -> None:
        self._dm = dm

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        # Type and options make no difference here.
        await _store(self._dm.volume(device.name), {"files": {}})

    async def discard(self, device: Path, step: int | None = None) -> None:
        await self._dm.volume(device.name).discard_whole(step)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        """Do nothing: this file system has no lost+found."""

    async def write(self, mounts: Sequence[Mount], name: str, size: int) -> int:
        volume = self._volume(mounts)
        directory = await _load(volume)
        if name in directory["files"]:
            raise _refused(errno.EEXIST)
        extents = list(_allocate(directory, volume, size))
        for offset, length in extents:
            await _fill(volume, offset, length)
        directory["files"][name] = extents
        await _store(volume, directory)
        return size

    async def overwrite(self, mounts: Sequence[Mount], name: str, size: int) -> int:
        volume = self._volume(mounts)
        left = size
        for offset, length in _extents(await _load(volume), name):
            await _fill(volume, offset, min(length, left))
            left -= min(length, left)
        return size - left

    async def delete(self, mounts: Sequence[Mount], name: str) -> None:
        volume = self._volume(mounts)
        directory = await _load(volume)
        _extents(directory, name)
        del directory["files"][name]
        await _store(volume, directory)

    async def trim(self, mounts: Sequence[Mount]) -> None:
        volume = self._volume(mounts, to_write=False)
        for offset, length in _free(await _load(volume), volume):
            await volume.discard(offset, length)

    async def unpack(self, mounts: Sequence[Mount], image: Image, number: int) -> int:
        # Layers need names, modes and links, which this file system does not have.
        raise InvalidValueError("an image needs a rig that mounts file systems; give layers and size instead")

    async def run_container(self, mounts: Sequence[Mount], size: int) -> int:
        # An eighth more is written and deleted, up to 4 MiB are overwritten: as in `write_container_files`.
        others = list((await _load(self._volume(mounts)))["files"])
        written = await self.write(mounts, "container", size)
        written += await self.write(mounts, "temporary", size // 8)
        await self.delete(mounts, "temporary")
        for name in others:
            written += await self.overwrite(mounts, name, min(4 << 20, size // 8) // len(others))
        return written

    async def claim(self, device: Path) -> Callable[[], None]:
        # The claim counts as a user, as a device on top would.
        volume = self._dm.volume(device.name)
        volume.users += 1
        return volume.release

    def _volume(self, mounts: Sequence[Mount], *, to_write: bool = True) -> MappedDevice:
        (mount,) = mounts
        if to_write and "ro" in mount.options:
            raise _refused(errno.EROFS)
        return self._dm.volume(Path(mount.source).name)


def _refused(number: int) -> OSError:
    """Return the error that a file system in the kernel would return."""
    return OSError(number, os.strerror(number))


async def _load(volume: MappedDevice) -> _Directory:
    stored: _Directory = json.loads((await volume.read(0, _AREA)).rstrip(b"\0"))
    return stored


async def _store(volume: MappedDevice, directory: _Directory) -> None:
    text = json.dumps(directory, separators=(",", ":")).encode()
    if len(text) > _AREA:
        raise _refused(errno.ENOSPC)
    await volume.write(0, text.ljust(_AREA, b"\0"))


async def _fill(volume: MappedDevice, offset: int, length: int) -> None:
    for start in range(offset, offset + length, _PIECE):
        await volume.write(start, _PATTERN[: min(_PIECE, offset + length - start)])


def _extents(directory: _Directory, name: str) -> list[tuple[int, int]]:
    try:
        return directory["files"][name]
    except KeyError:
        raise _refused(errno.ENOENT) from None


def _free(directory: _Directory, volume: MappedDevice) -> Iterator[tuple[int, int]]:
    """Yield the free extents as (offset, length), in ascending order."""
    position = _AREA
    for offset, length in sorted(extent for extents in directory["files"].values() for extent in extents):
        if offset > position:
            yield position, offset - position
        position = offset + length
    if position < volume.size:
        yield position, volume.size - position


def _allocate(directory: _Directory, volume: MappedDevice, size: int) -> Iterator[tuple[int, int]]:
    left = -(-size // _ALIGNMENT) * _ALIGNMENT
    for offset, length in _free(directory, volume):
        if not left:
            return
        taken = min(left, length)
        yield offset, taken
        left -= taken
    if left:
        raise _refused(errno.ENOSPC)
