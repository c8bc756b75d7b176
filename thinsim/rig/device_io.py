"""These functions read and write the node of a device past the page cache. Blocking."""

import errno
import mmap
import os
from pathlib import Path


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
