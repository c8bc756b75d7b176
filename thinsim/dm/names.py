"""Checks device names (drivers/md/dm-ioctl.c, check_name), and finds devices' nodes and numbers.

Blanks and the like are dmsetup's affair: it writes them as ``\\x20`` before device-mapper sees the name.
"""

import errno
import os
from pathlib import Path

from thinsim.errors import DeviceMapperError

MAPPER = Path("/dev/mapper")
"""The directory of the devices' nodes."""

MAX_NAME = 127
"""Bytes, DM_NAME_LEN less the final NUL (linux/dm-ioctl.h)."""

_RESERVED = (".", "..", "control")
"""Refused since Linux 6.5: no node can have these names, /dev/mapper/control is device-mapper's own."""


def check_name(name: str) -> None:
    """Raise DeviceMapperError(EINVAL) unless *name* can be a device's name and its node's file name."""
    if not name or "/" in name or "\0" in name or name in _RESERVED:
        raise DeviceMapperError(errno.EINVAL, f"{name!r} can't be the name of a device")
    size = len(name.encode("utf-8", "surrogateescape"))
    if size > MAX_NAME:
        raise DeviceMapperError(errno.EINVAL, f"device name of {size} bytes: at most {MAX_NAME}")


def device_number(path: str) -> str:
    """Return ``major:minor`` of the node at *path*; ``0:0`` for none, and for a file."""
    try:
        number = Path(path).stat().st_rdev
    except OSError:
        return "0:0"
    return f"{os.major(number)}:{os.minor(number)}"
