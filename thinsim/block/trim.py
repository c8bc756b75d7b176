"""`trim` makes a mounted file system discard the free space of a range (FITRIM, ioctl_fitrim(2))."""

import fcntl
import os
import struct
from pathlib import Path

_FITRIM = 0xC0185879  # include/uapi/linux/fs.h: _IOWR('X', 121, struct fstrim_range)
_RANGE = struct.Struct("=QQQ")  # start, length, minimum length

WHOLE = (1 << 64) - 1
"""The length of a range that ends with the file system."""


def trim(root: Path, *, start: int = 0, length: int = WHOLE, minimum: int = 0) -> int:
    """Discard the free extents from *start* on that have at least *minimum* bytes; return their bytes.

    *root* is a directory of the file system. The range is in the file system's own addresses, which FIEMAP
    reports as physical. Blocking. Raises ``OSError``: EOPNOTSUPP if the device takes no discards, ENOTTY if
    the file system cannot send any, EPERM without CAP_SYS_ADMIN.
    """
    buffer = bytearray(_RANGE.pack(start, length, minimum))
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _FITRIM, buffer, True)
    finally:
        os.close(fd)
    return int(_RANGE.unpack(buffer)[1])
