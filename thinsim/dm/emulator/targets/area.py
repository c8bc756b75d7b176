"""`check_area` checks the range of a lower device that a target maps (drivers/md/dm-table.c)."""

import errno
import re

from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.errors import DeviceMapperError
from thinsim.units import SECTOR_SIZE


def parse_sector(word: str, complaint: str) -> int:
    """Parse a sector number as ``sscanf("%llu%c")`` does; EINVAL with *complaint*."""
    if not re.fullmatch(r"\+?\d{1,20}", word, re.ASCII) or int(word) >= 1 << 64:
        raise DeviceMapperError(errno.EINVAL, f"{complaint}: {word!r}")
    return int(word)


def check_area(device: LowerDevice, start: int, length: int) -> None:
    """Raise EINVAL if the range is not on the device, or not in whole logical blocks of it.

    *start* is in sectors, *length* in bytes (dm-table.c, device_area_is_invalid).
    """
    if start * SECTOR_SIZE + length > device.size:
        raise DeviceMapperError(
            errno.EINVAL,
            f"{device.text} too small for target: start={start}, len={length // SECTOR_SIZE}, "
            f"dev_size={device.size // SECTOR_SIZE}",
        )
    for name, value in (("start", start), ("len", length // SECTOR_SIZE)):
        if value * SECTOR_SIZE % device.logical_block:
            raise DeviceMapperError(
                errno.EINVAL,
                f"{name}={value} not aligned to h/w logical block size {device.logical_block} "
                f"of {device.text}",
            )
