"""error fails every request (drivers/md/dm-target.c)."""

import errno

from thinsim.dm.emulator.targets.plain import PlainTarget
from thinsim.dm.emulator.targets.target_type import TableOwner, TargetServices, TargetType
from thinsim.dm.text import TableLine
from thinsim.errors import DeviceMapperError
from thinsim.units import SECTOR_SIZE


class ErrorTarget(PlainTarget):
    """``error``; arguments are ignored."""

    kind = "error"

    def table(self) -> str:
        """Nothing."""
        return ""

    async def read(self, offset: int, length: int) -> bytes:
        """EIO."""
        raise _failed()

    async def write(self, offset: int, data: bytes) -> None:
        """EIO."""
        raise _failed()

    async def discard(self, offset: int, length: int) -> None:
        """EIO."""
        raise _failed()

    async def punch(self, offset: int, length: int) -> None:
        """EIO."""
        raise _failed()


def _failed() -> DeviceMapperError:
    return DeviceMapperError(errno.EIO, "the error target fails every request")


async def _build(line: TableLine, owner: TableOwner, services: TargetServices) -> ErrorTarget:
    return ErrorTarget(line.length * SECTOR_SIZE, ())


ERROR = TargetType(ErrorTarget, (1, 5, 0), _build, wildcard=True)
