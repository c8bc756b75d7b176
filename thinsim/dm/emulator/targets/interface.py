"""A target serves a range of a mapped device (include/linux/device-mapper.h, struct target_type)."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from thinsim.dm.emulator.pool.pool_objects import PoolObject


class Target(Protocol):
    """One segment of a table. Offsets and lengths in bytes, relative to the segment, and within it.

    I/O raises DeviceMapperError with the errno that the kernel's bio would end with.
    """

    kind: ClassVar[str]
    """The name of its type in tables."""

    @property
    def pool(self) -> PoolObject | None:
        """The pool that it shows or has its blocks from; None for none."""

    @property
    def depends_on(self) -> Sequence[tuple[int, int]]:
        """Major and minor of each device that it uses."""

    @property
    def granularity(self) -> int:
        """Bytes of the smallest range that a discard gives back; 0 when it takes no discards."""

    @property
    def writes_zeroes(self) -> bool:
        """Whether it takes write-zeroes requests (struct dm_target, num_write_zeroes_bios)."""

    @property
    def logical_block(self) -> int:
        """Bytes of the smallest request (queue limit logical_block_size)."""

    @property
    def optimal_io(self) -> int:
        """Bytes of a request that is served best (queue limit io_opt); 0 for none in particular."""

    @property
    def allocated(self) -> int:
        """Bytes that are allocated for the segment: all of it, unless it is thin."""

    @property
    def events(self) -> int:
        """Events so far (dm_table_event)."""

    async def status(self, *, flush: bool) -> str:
        """Return what ``dmsetup status`` shows after the type; with *flush* a pool commits first."""

    def table(self) -> str:
        """Return what ``dmsetup table`` shows after the type, devices as major:minor."""

    async def message(self, text: str) -> None:
        """Take a message; EINVAL by a target that takes none."""

    async def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes."""

    async def write(self, offset: int, data: bytes) -> None:
        """Write all of *data*."""

    async def discard(self, offset: int, length: int) -> None:
        """Give back what can be given back of the range."""

    async def punch(self, offset: int, length: int) -> None:
        """Make the range read as zeros and give back what can be given back of it."""

    async def zero(self, offset: int, length: int) -> None:
        """Write zeros; asked only of a target that takes write-zeroes requests."""

    async def flush(self) -> None:
        """Return once what was written is durable."""

    async def awake(self) -> None:
        """Return once no suspend of what it stands on suspends it, too (dm_internal_suspend)."""

    async def check_limits(self) -> None:
        """EINVAL if a device is too small for the segment (dm-table.c, dm_calculate_queue_limits)."""

    async def prepare_resume(self) -> None:
        """Called before the device resumes; an error leaves it suspended (preresume)."""

    async def resume(self) -> None:
        """The device resumes."""

    async def prepare_suspend(self, *, noflush: bool) -> None:
        """Called before the device's I/O is held (presuspend); *noflush*: nothing held may hold up that."""

    async def undo_suspend(self) -> None:
        """The suspend that was prepared is off (presuspend_undo)."""

    async def suspended(self) -> None:
        """The device's I/O is held now (postsuspend)."""

    async def close(self) -> None:
        """Release what was opened: the table is gone. Idempotent."""
