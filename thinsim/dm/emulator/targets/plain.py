"""A `PlainTarget` has what most targets share: no messages, and no steps around a suspend."""

import errno
from typing import ClassVar

from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.dm.emulator.pool.plane import DeviceBypass
from thinsim.dm.emulator.pool.pool_objects import PoolObject
from thinsim.dm.emulator.targets.interface import Ended
from thinsim.errors import DeviceMapperError


class PlainTarget:
    """A `PlainTarget` has the defaults of a Target that uses *lower* devices."""

    kind: ClassVar[str]
    pool: PoolObject | None = None

    def __init__(self, length: int, lower: tuple[LowerDevice, ...]) -> None:
        self._length = length
        self._lower = lower

    @property
    def depends_on(self) -> tuple[tuple[int, int], ...]:
        """Return the number of each device once, in the table's order."""
        return tuple(dict.fromkeys(device.number for device in self._lower))

    @property
    def granularity(self) -> int:
        """Return the largest granularity of the lower devices; 0 if one of them takes no discards."""
        all_of = [device.granularity for device in self._lower]
        return max(all_of, default=0) if all(all_of) else 0

    @property
    def writes_zeroes(self) -> bool:
        """Return False, the default."""
        return False

    @property
    def logical_block(self) -> int:
        """Return the largest of the lower devices' (blk_stack_limits); 512 without devices."""
        return max((device.logical_block for device in self._lower), default=512)

    @property
    def optimal_io(self) -> int:
        """Return 0: no size is preferred."""
        return 0

    @property
    def allocated(self) -> int:
        """Return the whole length."""
        return self._length

    @property
    def events(self) -> int:
        """Return 0: most targets have no events."""
        return 0

    async def status(self, *, flush: bool) -> str:
        """Return an empty text."""
        return ""

    async def message(self, text: str) -> None:
        """Raise EINVAL (dm-ioctl.c, target_message)."""
        raise DeviceMapperError(errno.EINVAL, "Target type does not support messages")

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of *data*; each target has its own."""
        raise NotImplementedError

    async def write_and_end(self, offset: int, data: bytes | memoryview, ended: Ended) -> None:
        """Write all of *data*; the write ends when this returns."""
        await self.write(offset, data)

    async def zero(self, offset: int, length: int) -> None:
        """Raise EOPNOTSUPP."""
        raise DeviceMapperError(errno.EOPNOTSUPP, f"{self.kind} does not support write-zeroes requests")

    async def flush(self) -> None:
        """Flush each lower device."""
        for device in {id(device): device for device in self._lower}.values():
            await device.flush()

    async def awake(self) -> None:
        """Return at once."""

    async def check_limits(self) -> None:
        """Do nothing."""

    async def prepare_resume(self) -> None:
        """Do nothing."""

    async def resume(self) -> None:
        """Do nothing."""

    async def prepare_suspend(self, *, noflush: bool) -> None:
        """Do nothing."""

    async def undo_suspend(self) -> None:
        """Do nothing."""

    async def suspended(self) -> None:
        """Do nothing."""

    def aim(self, bypass: DeviceBypass, *, read_only: bool) -> None:
        """Do nothing: Python serves every request."""

    async def close(self) -> None:
        """Release the lower devices."""
        lower, self._lower = self._lower, ()
        for device in lower:
            await device.close()


def after_type(line: str) -> str:
    """Return the text after start, length and type in a line of ``dmsetup status`` or ``table``."""
    return line.split(" ", 3)[3]
