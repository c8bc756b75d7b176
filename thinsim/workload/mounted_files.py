"""`MountedFiles` mounts a snapshot, changes its files and unmounts it."""

import os
import random
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from errno import ENOSPC
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from thinsim.block.trim import trim
from thinsim.snapshotter.host import Mounter
from thinsim.snapshotter.interface import Mount
from thinsim.workload.container_files import write_container_files
from thinsim.workload.image.archive import Image
from thinsim.workload.image.unpack import unpack_layer

_PIECE = 1 << 20

_Result = TypeVar("_Result")


class MountedFiles:
    """A `MountedFiles` is a SnapshotFiles on real mounts.

    Each act mounts the snapshot on *directory* and unmounts it, which writes everything back.
    """

    def __init__(self, mounter: Mounter, directory: Path) -> None:
        self._mounter = mounter
        self._target = directory

    async def write(self, mounts: Sequence[Mount], name: str, size: int) -> int:
        # The files have 1 MiB each and are in a directory *name*.
        await self._on_mount(mounts, partial(_write, name=name, size=size))
        return size

    async def overwrite(self, mounts: Sequence[Mount], name: str, size: int) -> int:
        return await self._on_mount(mounts, partial(_overwrite, name=name, size=size))

    async def delete(self, mounts: Sequence[Mount], name: str) -> None:
        await self._on_mount(mounts, lambda root: shutil.rmtree(root / name))

    async def trim(self, mounts: Sequence[Mount]) -> None:
        await self._on_mount(mounts, trim)

    async def unpack(self, mounts: Sequence[Mount], image: Image, number: int) -> int:
        layer = image.layers[number - 1]

        def unpack(root: Path) -> int:
            try:
                with layer.open() as stream:
                    return unpack_layer(stream, root, progress=_cancellable).bytes
            except OSError as error:
                if error.errno != ENOSPC:
                    raise
                raise OSError(ENOSPC, f"{error.strerror} ({_room(root)})") from error

        return await self._on_mount(mounts, unpack)

    async def run_container(self, mounts: Sequence[Mount], size: int) -> int:
        work = partial(write_container_files, size=size, progress=_cancellable)
        return (await self._on_mount(mounts, work)).bytes_written

    async def claim(self, device: Path) -> Callable[[], None]:
        # The open is exclusive, as a mount's is.
        fd = await trio.to_thread.run_sync(os.open, device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
        return partial(os.close, fd)

    async def _on_mount(self, mounts: Sequence[Mount], work: Callable[[Path], _Result]) -> _Result:
        async with self._mounted(mounts) as root:
            # On a thread: the operations end in FUSE servers, which must not wait for this event loop.
            return await trio.to_thread.run_sync(work, root)

    @asynccontextmanager
    async def _mounted(self, mounts: Sequence[Mount]) -> AsyncIterator[Path]:
        (mount,) = mounts
        await self._mounter.mount(mount.source, self._target, mount.type, mount.options)
        try:
            yield self._target
        finally:
            await self._mounter.unmount(self._target)


def _write(root: Path, name: str, size: int) -> None:
    directory = root / name
    directory.mkdir()
    # The seed is the name, so that the same scenario writes the same content.
    content = random.Random(name)
    for number, start in enumerate(range(0, size, _PIECE)):
        with (directory / f"part-{number:06}").open("xb") as file:
            file.write(content.randbytes(min(_PIECE, size - start)))
            _to_disk(file.fileno())


def _overwrite(root: Path, name: str, size: int) -> int:
    """Overwrite the beginning of *name*; return the number of bytes written."""
    content = random.Random(f"{name} again")
    left = size
    for file in sorted((root / name).iterdir()):
        if left <= 0:
            break
        length = min(left, file.stat().st_size)
        with file.open("r+b") as opened:
            opened.write(content.randbytes(length))
            opened.flush()
            _to_disk(opened.fileno())
        left -= length
    return size - left


def _to_disk(fd: int) -> None:
    """Write a file back at once, so that a full pool fails here and not silently at unmount."""
    os.fsync(fd)
    _cancellable(0)


def _room(root: Path) -> str:
    about = os.statvfs(root)
    return (
        f"the file system has {about.f_blocks * about.f_frsize >> 20} MiB, of which "
        f"{about.f_bavail * about.f_frsize >> 20} are free, and {about.f_favail} free inodes; "
        "base_image_size in the scenario file sets the size of devices"
    )


def _cancellable(done: int) -> None:
    """Raise Cancelled here, between two pieces of work, if the run was cancelled."""
    trio.from_thread.check_cancelled()
