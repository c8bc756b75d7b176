"""error: every request fails (drivers/md/dm-target.c). zero: reads zeros, drops writes (dm-zero.c)."""

import errno
from collections.abc import Sequence

from thinsim.dm.emulator.lower.lower_devices import LowerDevices
from thinsim.dm.emulator.targets.plain import PlainTarget
from thinsim.errors import DeviceMapperError


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


class ZeroTarget(PlainTarget):
    """``zero``."""

    kind = "zero"

    def table(self) -> str:
        """Nothing."""
        return ""

    async def read(self, offset: int, length: int) -> bytes:
        """Zeros."""
        return bytes(length)

    async def write(self, offset: int, data: bytes) -> None:
        """Drop."""

    async def discard(self, offset: int, length: int) -> None:
        """EOPNOTSUPP, as in Linux 6.1."""
        raise DeviceMapperError(errno.EOPNOTSUPP, "zero takes no discards")

    async def punch(self, offset: int, length: int) -> None:
        """Nothing to do: all of it is zeros."""


def _failed() -> DeviceMapperError:
    return DeviceMapperError(errno.EIO, "the error target fails every request")


async def build_error(length: int, arguments: Sequence[str], lower: LowerDevices) -> ErrorTarget:
    """Return an error target of *length* bytes."""
    return ErrorTarget(length, ())


async def build_zero(length: int, arguments: Sequence[str], lower: LowerDevices) -> ZeroTarget:
    """Return a zero target of *length* bytes; EINVAL with arguments."""
    if arguments:
        raise DeviceMapperError(errno.EINVAL, "zero: No arguments required")
    return ZeroTarget(length, ())
