"""Lays out a file system of extents for rigs that mount nothing: one directory at the device's start.

It stands in for ext4 where a scenario is about blocks: new files take free extents, lowest first, an
overwrite stays in place, a deletion discards nothing, a trim discards all that is free. The directory
is on the device itself, so a snapshot inherits it, and each change of it breaks sharing as any write.
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
"""Bytes of the directory."""

_ALIGNMENT = 4096
_PIECE = 1 << 20
_PATTERN = (bytes(range(1, 252)) * 4200)[:_PIECE]
"""Never all zero: the host allocates as for real data."""


class _Directory(TypedDict):
    files: dict[str, list[tuple[int, int]]]
    """Per name its extents, (offset, length) in bytes."""


class ExtentFiles:
    """SnapshotFiles and SnapshotHost on the devices of *dm*, which is in this process."""

    def __init__(self, dm: LocalDeviceMapper) -> None:
        self._dm = dm

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        """Write an empty directory; type and options change nothing."""
        await _store(self._dm.volume(device.name), {"files": {}})

    async def discard(self, device: Path, step: int | None = None) -> None:
        """Discard all of the device, as blkdiscard(8) does."""
        await self._dm.volume(device.name).discard_whole(step)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        """There is none."""

    async def write(self, mounts: Sequence[Mount], name: str, size: int) -> None:
        """See SnapshotFiles."""
        volume = self._volume(mounts)
        directory = await _load(volume)
        if name in directory["files"]:
            raise _refused(errno.EEXIST)
        extents = list(_allocate(directory, volume, size))
        for offset, length in extents:
            await _fill(volume, offset, length)
        directory["files"][name] = extents
        await _store(volume, directory)

    async def overwrite(self, mounts: Sequence[Mount], name: str, size: int) -> None:
        """See SnapshotFiles."""
        volume = self._volume(mounts)
        for offset, length in _extents(await _load(volume), name):
            await _fill(volume, offset, min(length, size))
            size -= min(length, size)

    async def delete(self, mounts: Sequence[Mount], name: str) -> None:
        """See SnapshotFiles."""
        volume = self._volume(mounts)
        directory = await _load(volume)
        _extents(directory, name)
        del directory["files"][name]
        await _store(volume, directory)

    async def trim(self, mounts: Sequence[Mount]) -> None:
        """See SnapshotFiles."""
        volume = self._volume(mounts, to_write=False)
        for offset, length in _free(await _load(volume), volume):
            await volume.discard(offset, length)

    async def unpack(self, mounts: Sequence[Mount], image: Image, number: int) -> None:
        """Refuse: layers are of files with names, modes and links, which there are none of here."""
        raise InvalidValueError("an image needs a rig that mounts file systems; give layers and size instead")

    async def run_container(self, mounts: Sequence[Mount], size: int) -> None:
        """See SnapshotFiles: an eighth more is written and deleted, up to 4 MiB of others overwritten."""
        others = list((await _load(self._volume(mounts)))["files"])
        for name, length in (("container", size), ("temporary", size // 8)):
            await self.write(mounts, name, length)
        await self.delete(mounts, "temporary")
        for name in others:
            await self.overwrite(mounts, name, min(4 << 20, size // 8) // len(others))

    async def claim(self, device: Path) -> Callable[[], None]:
        """See SnapshotFiles: counted as a device on top would be."""
        volume = self._dm.volume(device.name)
        volume.users += 1
        return volume.release

    def _volume(self, mounts: Sequence[Mount], *, to_write: bool = True) -> MappedDevice:
        (mount,) = mounts
        if to_write and "ro" in mount.options:
            raise _refused(errno.EROFS)
        return self._dm.volume(Path(mount.source).name)


def _refused(number: int) -> OSError:
    """Return what a file system in the kernel answers."""
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
    """Yield what no file has, (offset, length), ascending."""
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
