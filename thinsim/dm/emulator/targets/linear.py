"""linear: a range of another device (drivers/md/dm-linear.c)."""

import errno
import re
from collections.abc import Sequence

from thinsim.dm.emulator.lower.lower_devices import LowerDevice, LowerDevices
from thinsim.dm.emulator.targets.plain import PlainTarget
from thinsim.errors import DeviceMapperError
from thinsim.units import SECTOR_SIZE


class LinearTarget(PlainTarget):
    """``linear <device> <start sector>``."""

    kind = "linear"

    def __init__(self, length: int, device: LowerDevice, start: int) -> None:
        super().__init__(length, (device,))
        self._device = device
        self._start = start

    @property
    def writes_zeroes(self) -> bool:
        """As the device (linear_ctr; dm-table.c, dm_table_supports_write_zeroes)."""
        return self._device.writes_zeroes

    def table(self) -> str:
        """Return device and start."""
        return f"{self._device.text} {self._start}"

    async def check_limits(self) -> None:
        """The range is on the device."""
        check_area(self._device, self._start, self._length)

    async def read(self, offset: int, length: int) -> bytes:
        """Read from the device."""
        return await self._device.read(self._start * SECTOR_SIZE + offset, length)

    async def write(self, offset: int, data: bytes) -> None:
        """Write to the device."""
        await self._device.write(self._start * SECTOR_SIZE + offset, data)

    async def discard(self, offset: int, length: int) -> None:
        """Discard on the device."""
        await self._device.discard(self._start * SECTOR_SIZE + offset, length)

    async def punch(self, offset: int, length: int) -> None:
        """Punch the device."""
        await self._device.punch(self._start * SECTOR_SIZE + offset, length)

    async def zero(self, offset: int, length: int) -> None:
        """Write zeros on the device."""
        await self._device.zero(self._start * SECTOR_SIZE + offset, length)


async def build(length: int, arguments: Sequence[str], lower: LowerDevices) -> LinearTarget:
    """Return the target of a table's arguments; *length* in bytes. Errors in the order of linear_ctr."""
    if len(arguments) != 2:
        raise DeviceMapperError(errno.EINVAL, "linear: Invalid argument count")
    start = parse_sector(arguments[1], "linear: Invalid device sector")
    device = await lower.open(arguments[0], "linear: Device lookup failed")
    return LinearTarget(length, device, start)


def parse_sector(word: str, complaint: str) -> int:
    """Read a sector as ``sscanf("%llu%c")`` does; EINVAL with *complaint*."""
    if not re.fullmatch(r"\+?\d{1,20}", word, re.ASCII) or int(word) >= 1 << 64:
        raise DeviceMapperError(errno.EINVAL, f"{complaint}: {word!r}")
    return int(word)


def check_area(device: LowerDevice, start: int, length: int) -> None:
    """EINVAL if the range is not on the device, or not in whole logical blocks of it.

    *start* in sectors, *length* in bytes (dm-table.c, device_area_is_invalid).
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
