r"""`check_name` checks device names (drivers/md/dm-ioctl.c); `device_number` finds the number of a node.

dmsetup itself handles blanks and similar characters: it writes them as ``\x20`` before device-mapper sees
the name.
"""

import errno
import os
from pathlib import Path

from thinsim.errors import DeviceMapperError

MAPPER = Path("/dev/mapper")
"""The directory of the devices' nodes."""

MAX_NAME = 127
"""The most bytes of a name: DM_NAME_LEN less the final NUL (linux/dm-ioctl.h)."""

_RESERVED = (".", "..", "control")
"""Linux refuses these names since 6.5: no node can have them. /dev/mapper/control is device-mapper's own."""


def check_name(name: str) -> None:
    """Raise DeviceMapperError(EINVAL) unless *name* can be a device's name and its node's file name."""
    if not name or "/" in name or "\0" in name or name in _RESERVED:
        raise DeviceMapperError(errno.EINVAL, f"{name!r} can't be the name of a device")
    size = len(name.encode("utf-8", "surrogateescape"))
    if size > MAX_NAME:
        raise DeviceMapperError(errno.EINVAL, f"the device name has {size} bytes; the limit is {MAX_NAME}")


def device_number(path: str) -> str:
    """Return ``major:minor`` of the node at *path*; ``0:0`` if it does not exist or is a file."""
    try:
        number = Path(path).stat().st_rdev
    except OSError:
        return "0:0"
    return f"{os.major(number)}:{os.minor(number)}"
