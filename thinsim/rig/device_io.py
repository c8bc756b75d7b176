"""These functions read, write and discard on the node of a device, past the page cache. Blocking."""

import errno
import fcntl
import mmap
import os
import struct
from pathlib import Path

from thinsim.block.linux import BLKDISCARD


def write(device: Path, offset: int, data: bytes) -> None:
    """Write *data* at *offset*, both in whole logical blocks, past the page cache. Raises ``OSError``."""
    with mmap.mmap(-1, max(len(data), 1)) as buffer:
        buffer[:] = data
        fd = os.open(device, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        try:
            if os.pwrite(fd, buffer, offset) != len(data):
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(device))
        finally:
            os.close(fd)


def read(device: Path, offset: int, length: int) -> bytes:
    """Return *length* bytes at *offset*, both in whole logical blocks, uncached. Raises ``OSError``."""
    with mmap.mmap(-1, length) as buffer:
        fd = os.open(device, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        try:
            done = os.preadv(fd, [buffer], offset)
        finally:
            os.close(fd)
        return buffer[:done]


def flush(device: Path) -> None:
    """Return when all writes to *device* have reached the layer below it. Raises ``OSError``."""
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def discard(device: Path, offset: int, length: int) -> None:
    """Discard *length* bytes at *offset*, though others have the device open. Raises ``OSError``."""
    fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", offset, length))
    finally:
        os.close(fd)
