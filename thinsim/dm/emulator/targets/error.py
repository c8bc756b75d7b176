"""The error target fails every request (drivers/md/dm-target.c)."""

import errno

from thinsim.dm.emulator.targets.plain import PlainTarget
from thinsim.dm.emulator.targets.target_type import TableOwner, TargetServices, TargetType
from thinsim.dm.text import TableLine
from thinsim.errors import DeviceMapperError
from thinsim.units import SECTOR_SIZE


class ErrorTarget(PlainTarget):
    """An `ErrorTarget` is an ``error`` segment; its arguments are ignored."""

    kind = "error"

    def table(self) -> str:
        return ""

    async def read(self, offset: int, length: int) -> bytes:
        raise _failed()

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        raise _failed()

    async def discard(self, offset: int, length: int) -> None:
        raise _failed()

    async def punch(self, offset: int, length: int) -> None:
        raise _failed()


def _failed() -> DeviceMapperError:
    return DeviceMapperError(errno.EIO, "the error target fails every request")


async def _build(line: TableLine, owner: TableOwner, services: TargetServices) -> ErrorTarget:
    return ErrorTarget(line.length * SECTOR_SIZE, ())


ERROR = TargetType(ErrorTarget, (1, 5, 0), _build, wildcard=True)
