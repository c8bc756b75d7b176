"""`extents_of` finds the extents of a file, from the server for a store's file, otherwise from the host."""

import os
import stat
from pathlib import Path

import trio

from fuse_backing import mounts
from fuse_backing.allocation import Extent, extents
from fuse_backing.errors import FuseBackingError
from fuse_backing.finding import find_store
from fuse_backing.store_client import StoreClient

_EVERYTHING = (1 << 63) - 1


async def extents_of(file: Path, control: Path | None = None) -> tuple[int, list[Extent]]:
    """Return the size of *file* in bytes and its extents on the host, in order.

    *control* is the socket of the store that serves the file, if it is not the default one. Raises
    FuseBackingError.
    """
    real = Path(os.path.realpath(file))
    mount = mounts.mount_of(real)
    if mount is not None and mount.fstype == mounts.FSTYPE:
        if mount.mountpoint == real:
            raise FuseBackingError(f"{file}: this is the mountpoint of a store; name a file on it")
        path = str(real.relative_to(mount.mountpoint))
        return await StoreClient(control or find_store(mount.mountpoint)).map(path)
    if control is not None:
        client = StoreClient(control)
        mountpoint = Path((await client.ping()).mountpoint)  # perhaps in another mount namespace
        path = str(real.relative_to(mountpoint)) if real.is_relative_to(mountpoint) else file.name
        return await client.map(path)
    return await trio.to_thread.run_sync(_of_host, file)


def _of_host(file: Path) -> tuple[int, list[Extent]]:
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise FuseBackingError(f"{file}: {error.strerror}") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise FuseBackingError(f"{file}: not a regular file")
        return status.st_size, extents(fd, 0, _EVERYTHING)
    except OSError as error:
        raise FuseBackingError(f"{file}: cannot read its allocation: {error.strerror}") from error
    finally:
        os.close(fd)
