"""Device names: what device-mapper takes (dm-ioctl.c, check_name; lvm2 libdm-common.c for the characters)."""

import errno
import re

from thinsim.errors import DeviceMapperError

MAX_NAME = 127
"""Bytes, DM_NAME_LEN less the final NUL (linux/dm-ioctl.h)."""

_NAME = re.compile(r"[0-9A-Za-z#+\-.:=@_]+")


def check_name(name: str) -> None:
    """Raise DeviceMapperError(EINVAL) unless *name* can be a device's name and its node's file name."""
    if not _NAME.fullmatch(name) or name in (".", "..", "control"):
        # /dev/mapper/control is device-mapper's own node.
        raise DeviceMapperError(
            errno.EINVAL, f"{name!r} can't name a device: letters, digits and #+-.:=@_ only, not 'control'"
        )
    if len(name) > MAX_NAME:
        raise DeviceMapperError(errno.EINVAL, f"device name of {len(name)} bytes: at most {MAX_NAME}")
