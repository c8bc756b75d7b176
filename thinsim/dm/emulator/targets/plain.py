"""Gives what most targets share: no messages, and nothing to do around a suspend."""

import errno
from typing import ClassVar

from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.dm.emulator.pool.pool_objects import PoolObject
from thinsim.errors import DeviceMapperError


class PlainTarget:
    """Defaults of a Target that stands on *lower* devices."""

    kind: ClassVar[str]
    pool: PoolObject | None = None

    def __init__(self, length: int, lower: tuple[LowerDevice, ...]) -> None:
        self._length = length
        self._lower = lower

    @property
    def depends_on(self) -> tuple[tuple[int, int], ...]:
        """Each device once, in the table's order."""
        return tuple(dict.fromkeys(device.number for device in self._lower))

    @property
    def granularity(self) -> int:
        """The largest of the lower devices'; 0 if one of them takes none."""
        all_of = [device.granularity for device in self._lower]
        return max(all_of, default=0) if all(all_of) else 0

    @property
    def writes_zeroes(self) -> bool:
        """Not unless the target says so."""
        return False

    @property
    def logical_block(self) -> int:
        """The largest of the lower devices' (blk_stack_limits); 512 without any."""
        return max((device.logical_block for device in self._lower), default=512)

    @property
    def optimal_io(self) -> int:
        """None in particular."""
        return 0

    @property
    def allocated(self) -> int:
        """All of it."""
        return self._length

    @property
    def events(self) -> int:
        """None."""
        return 0

    async def status(self, *, flush: bool) -> str:
        """Nothing."""
        return ""

    async def message(self, text: str) -> None:
        """Refuse: EINVAL (dm-ioctl.c, target_message)."""
        raise DeviceMapperError(errno.EINVAL, "Target type does not support messages")

    async def zero(self, offset: int, length: int) -> None:
        """Refuse: EOPNOTSUPP."""
        raise DeviceMapperError(errno.EOPNOTSUPP, f"{self.kind} takes no write-zeroes requests")

    async def flush(self) -> None:
        """Flush each lower device."""
        for device in {id(device): device for device in self._lower}.values():
            await device.flush()

    async def awake(self) -> None:
        """At once."""

    async def check_limits(self) -> None:
        """Nothing to check."""

    async def prepare_resume(self) -> None:
        """Nothing to do."""

    async def resume(self) -> None:
        """Nothing to do."""

    async def prepare_suspend(self, *, noflush: bool) -> None:
        """Nothing to do."""

    async def undo_suspend(self) -> None:
        """Nothing to do."""

    async def suspended(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Let the lower devices go."""
        lower, self._lower = self._lower, ()
        for device in lower:
            await device.close()


def after_type(line: str) -> str:
    """Return what stands after start, length and type in a line of ``dmsetup status`` or ``table``."""
    return line.split(" ", 3)[3]
