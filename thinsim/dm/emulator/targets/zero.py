"""The zero target reads zeros and drops writes (drivers/md/dm-zero.c)."""

import errno

from thinsim.dm.emulator.targets.plain import PlainTarget
from thinsim.dm.emulator.targets.target_type import TableOwner, TargetServices, TargetType
from thinsim.dm.text import TableLine
from thinsim.errors import DeviceMapperError
from thinsim.thin.words import split_words
from thinsim.units import SECTOR_SIZE


class ZeroTarget(PlainTarget):
    """A `ZeroTarget` is a ``zero`` segment."""

    kind = "zero"

    def table(self) -> str:
        return ""

    async def read(self, offset: int, length: int) -> bytes:
        return bytes(length)

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """Drop the data."""

    async def discard(self, offset: int, length: int) -> None:
        """Raise EOPNOTSUPP, as Linux 6.1 does."""
        raise DeviceMapperError(errno.EOPNOTSUPP, "zero does not support discards")

    async def punch(self, offset: int, length: int) -> None:
        """Do nothing: the whole segment reads as zeros."""


async def _build(line: TableLine, owner: TableOwner, services: TargetServices) -> ZeroTarget:
    if split_words(line.arguments):
        raise DeviceMapperError(errno.EINVAL, "zero: No arguments required")
    return ZeroTarget(line.length * SECTOR_SIZE, ())


ZERO = TargetType(ZeroTarget, (1, 1, 0), _build)
