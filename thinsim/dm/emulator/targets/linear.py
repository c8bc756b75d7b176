"""The linear target maps a range of another device (drivers/md/dm-linear.c)."""

import errno

from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.dm.emulator.targets.area import check_area, parse_sector
from thinsim.dm.emulator.targets.plain import PlainTarget
from thinsim.dm.emulator.targets.target_type import TableOwner, TargetServices, TargetType
from thinsim.dm.text import TableLine
from thinsim.errors import DeviceMapperError
from thinsim.thin.words import split_words
from thinsim.units import SECTOR_SIZE


class LinearTarget(PlainTarget):
    """A `LinearTarget` is a ``linear <device> <start sector>`` segment."""

    kind = "linear"

    def __init__(self, length: int, device: LowerDevice, start: int) -> None:
        super().__init__(length, (device,))
        self._device = device
        self._start = start

    @property
    def writes_zeroes(self) -> bool:
        """Return the device's answer (linear_ctr; dm-table.c, dm_table_supports_write_zeroes)."""
        return self._device.writes_zeroes

    def table(self) -> str:
        return f"{self._device.text} {self._start}"

    async def check_limits(self) -> None:
        check_area(self._device, self._start, self._length)

    async def read(self, offset: int, length: int) -> bytes:
        return await self._device.read(self._start * SECTOR_SIZE + offset, length)

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        await self._device.write(self._start * SECTOR_SIZE + offset, data)

    async def discard(self, offset: int, length: int) -> None:
        await self._device.discard(self._start * SECTOR_SIZE + offset, length)

    async def punch(self, offset: int, length: int) -> None:
        await self._device.punch(self._start * SECTOR_SIZE + offset, length)

    async def zero(self, offset: int, length: int) -> None:
        await self._device.zero(self._start * SECTOR_SIZE + offset, length)


async def _build(line: TableLine, owner: TableOwner, services: TargetServices) -> LinearTarget:
    """Build the target; its errors come in the order of linear_ctr."""
    arguments = split_words(line.arguments)
    if len(arguments) != 2:
        raise DeviceMapperError(errno.EINVAL, "linear: Invalid argument count")
    start = parse_sector(arguments[1], "linear: Invalid device sector")
    device = await services.lower.open(arguments[0], "linear: Device lookup failed")
    return LinearTarget(line.length * SECTOR_SIZE, device, start)


LINEAR = TargetType(LinearTarget, (1, 4, 0), _build)
