"""`open_loop_file` opens the file under a loop device."""

import os
import stat
from pathlib import Path

from thinsim.block import loop
from thinsim.block.kernel_view import sysfs
from thinsim.errors import EnvironmentLacksError

_LOOP_MAJOR = 7


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
