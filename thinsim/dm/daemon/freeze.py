"""`freeze` freezes the file system mounted from a device, as the kernel's suspend does.

Sources: dm.c, lock_fs; fs/super.c. The functions block: call them on a thread. Freezing writes back through
the very device that this process serves.
"""

import fcntl
import os
from pathlib import Path

from fuse_backing.mounts import mounts

_FIFREEZE = 0xC0045877  # linux/fs.h: _IOWR('X', 119, int)
_FITHAW = 0xC0045878  # linux/fs.h: _IOWR('X', 120, int)
_BLKFLSBUF = 0x1261  # linux/fs.h: _IO(0x12, 97)


def freeze(device: Path) -> Path | None:
    """Freeze the file system mounted from *device* and return its mount point.

    Without a mount, write back the node's cache and return None. The kernel sends no flush then
    (block/bdev.c, bdev_freeze), which a full pool would refuse: no fsync.
    """
    target = mounted_at(device)
    if target is None:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _BLKFLSBUF)
        finally:
            os.close(fd)
        return None
    _ioctl(target, _FIFREEZE)
    return target


def thaw(target: Path) -> None:
    """Thaw the file system mounted at *target*."""
    _ioctl(target, _FITHAW)


def mounted_at(device: Path) -> Path | None:
    """Return one mount point of *device*'s file system, or None if it is not mounted."""
    number = device.stat().st_rdev
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for mount in mounts():
        if mount.device == wanted:
            return mount.mountpoint
    return None


def _ioctl(target: Path, request: int) -> None:
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, request, 0)
    finally:
        os.close(fd)
