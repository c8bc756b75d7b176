"""A target serves a range of a mapped device (include/linux/device-mapper.h, struct target_type)."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol, TypeAlias

from thinsim.dm.emulator.pool.plane import DeviceBypass
from thinsim.dm.emulator.pool.pool_objects import PoolObject

Ended: TypeAlias = Callable[[], object]
"""A function of this type is called when a write has ended well."""


class Target(Protocol):
    """A `Target` is one segment of a table. Offsets and lengths are in bytes, relative to the segment.

    I/O raises DeviceMapperError with the errno that the kernel's bio would end with.
    """

    kind: ClassVar[str]
    """The name of the target's type in tables."""

    @property
    def pool(self) -> PoolObject | None:
        """Return the pool that the target shows or takes its blocks from, or None."""

    @property
    def depends_on(self) -> Sequence[tuple[int, int]]:
        """Return major and minor of each device that the target uses."""

    @property
    def granularity(self) -> int:
        """Return the bytes of the smallest range that a discard frees; 0 if the target takes no discards."""

    @property
    def writes_zeroes(self) -> bool:
        """Return whether the target takes write-zeroes requests (struct dm_target, num_write_zeroes_bios)."""

    @property
    def logical_block(self) -> int:
        """Return the bytes of the smallest request (queue limit logical_block_size)."""

    @property
    def optimal_io(self) -> int:
        """Return the optimal request size in bytes (queue limit io_opt); 0 for no preference."""

    @property
    def allocated(self) -> int:
        """Return the bytes that are allocated for the segment: its whole length, unless it is thin."""

    @property
    def events(self) -> int:
        """Return the number of events so far (dm_table_event)."""

    async def status(self, *, flush: bool) -> str:
        """Return the text of ``dmsetup status`` after the type; with *flush* a pool commits first."""

    def table(self) -> str:
        """Return the text of ``dmsetup table`` after the type, with devices as major:minor."""

    async def message(self, text: str) -> None:
        """Carry out a message; EINVAL if the target takes none."""

    async def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes."""

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of *data*."""

    async def write_and_end(self, offset: int, data: bytes | memoryview, ended: Ended) -> None:
        """Write all of *data*, as ``write`` does.

        When all of it is written, and only the target's own work is left, *ended* may be called: once, from
        any thread, before the return. A client that waits for the write then goes on (dm.c, bio_endio).
        """

    async def discard(self, offset: int, length: int) -> None:
        """Free as much of the range as possible."""

    async def punch(self, offset: int, length: int) -> None:
        """Make the range read as zeros and free as much of it as possible."""

    async def zero(self, offset: int, length: int) -> None:
        """Write zeros; called only if the target takes write-zeroes requests."""

    async def flush(self) -> None:
        """Return once earlier writes are durable."""

    async def awake(self) -> None:
        """Return once no suspended device below suspends the target with it (dm_internal_suspend)."""

    async def check_limits(self) -> None:
        """Raise EINVAL if a device is too small for the segment (dm-table.c, dm_calculate_queue_limits)."""

    async def prepare_resume(self) -> None:
        """Prepare the resume of the device; an error leaves it suspended (preresume)."""

    async def resume(self) -> None:
        """Resume with the device."""

    async def prepare_suspend(self, *, noflush: bool) -> None:
        """Prepare to hold the device's I/O (presuspend). With *noflush*, held requests must not delay it."""

    async def undo_suspend(self) -> None:
        """Undo the preparation of a suspend that does not come (presuspend_undo)."""

    async def suspended(self) -> None:
        """Finish the suspend; the device's I/O is held now (postsuspend)."""

    def aim(self, bypass: DeviceBypass, *, read_only: bool) -> None:
        """Let requests of a device with this target alone through *bypass*, if a plane can serve them."""

    async def close(self) -> None:
        """Release the devices, for the table is gone. Idempotent."""
