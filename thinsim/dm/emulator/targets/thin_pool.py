"""The thin-pool target serves a pool's own device (drivers/md/dm-thin.c, pool_ctr to pool_resume)."""

import errno
from dataclasses import replace

from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.dm.emulator.pool.pool_objects import PoolObject, PoolObjects
from thinsim.dm.emulator.targets.plain import PlainTarget, after_type
from thinsim.dm.emulator.targets.target_type import TableOwner, TargetServices, TargetType
from thinsim.dm.text import TableLine
from thinsim.errors import DeviceMapperError
from thinsim.thin.table import POOL_TARGET, PoolTable, PoolTableWords
from thinsim.units import bytes_of


class ThinPoolTarget(PlainTarget):
    """A `ThinPoolTarget` is a ``thin-pool`` segment.

    Its arguments: ``<metadata> <data> <block sectors> <low water blocks> [<features>]``. I/O on the pool's
    own device goes straight to the data device (pool_map).
    """

    kind = POOL_TARGET

    def __init__(self, table: PoolTable, pool: PoolObject, pools: PoolObjects) -> None:
        super().__init__(bytes_of(table.length), ())
        self.pool: PoolObject = pool
        self._table = table
        self._pools = pools
        self._closed = False
        self._loaded = True
        """The table is new: once it is live, its mode no longer sets the pool's."""

    @property
    def depends_on(self) -> tuple[tuple[int, int], ...]:
        """Return the metadata and the data device."""
        return tuple(dict.fromkeys(self.pool.numbers))

    @property
    def granularity(self) -> int:
        """Return the granularity of the data device; 0 unless discards are passed down."""
        return self.pool.data.granularity if self.pool.active.engine.passes_down else 0

    @property
    def logical_block(self) -> int:
        """Return the bytes of the data device's smallest request (pool_iterate_devices)."""
        return self.pool.data.logical_block

    @property
    def optimal_io(self) -> int:
        """Return the data block size in bytes (pool_io_hints)."""
        return self.block_bytes

    @property
    def allocated(self) -> int:
        """Return the bytes of the used data blocks."""
        return self.pool.active.engine.status().used_data * self.block_bytes

    @property
    def events(self) -> int:
        """Return the number of low water marks, mode changes and no-space timeouts."""
        return self.pool.active.engine.event_nr

    @property
    def block_bytes(self) -> int:
        """Return the data block size in bytes."""
        return bytes_of(self.pool.active.engine.block_size)

    async def status(self, *, flush: bool) -> str:
        """Return the pool's status line; a failed commit shows in the mode (pool_status)."""
        if flush and not self.pool.suspended:
            await self.pool.active.commit_or_log()
        return after_type(self.pool.active.engine.status().text(0, self._table.length))

    def table(self) -> str:
        """Return the table's arguments."""
        return after_type(self._table.text(self.pool.metadata.text, self.pool.data.text))

    async def message(self, text: str) -> None:
        await self.pool.active.message(text)

    async def read(self, offset: int, length: int) -> bytes:
        return await self.pool.data.read(offset, length)

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        await self.pool.data.write(offset, data)

    async def discard(self, offset: int, length: int) -> None:
        await self.pool.data.discard(offset, length)

    async def punch(self, offset: int, length: int) -> None:
        await self.pool.data.punch(offset, length)

    async def flush(self) -> None:
        """Flush the data device."""
        await self.pool.data.flush()

    async def check_limits(self) -> None:
        """Raise EINVAL if the table is longer than the data device."""
        if bytes_of(self._table.length) > self.pool.data.size:
            raise DeviceMapperError(errno.EINVAL, f"{self._table.data_dev} is too small for the pool's table")

    async def prepare_resume(self) -> None:
        """Take this table's features and size, and commit a growth (pool_preresume)."""
        loaded, self._loaded = self._loaded, False
        await self.pool.active.resume(self._table, loaded=loaded)

    async def resume(self) -> None:
        """Mark the pool as resumed; the thin devices' I/O is let through already."""
        self.pool.suspended = False

    async def prepare_suspend(self, *, noflush: bool) -> None:
        """Hold the thin devices' I/O (pool_presuspend)."""
        self.pool.suspended = True
        await self.pool.active.requests.gate.close()

    async def undo_suspend(self) -> None:
        """Let the thin devices' I/O through again (pool_presuspend_undo)."""
        self.pool.active.requests.gate.open()
        self.pool.suspended = False

    async def suspended(self) -> None:
        """Let requests that wait for space begin again after the resume, and commit (pool_postsuspend)."""
        self.pool.active.held.pool_suspended()
        await self.pool.active.commit_or_log()

    async def close(self) -> None:
        """Release the pool, since the table is gone; the last user closes it."""
        if not self._closed:
            self._closed = True
            await self._pools.release(self.pool)


async def _build(line: TableLine, owner: TableOwner, services: TargetServices) -> ThinPoolTarget:
    """Build the target; its errors come in the order of pool_ctr."""
    words = PoolTableWords.read(replace(line, start=0).text)
    lower, pools = services.lower, services.pools
    opened: list[LowerDevice] = []
    try:
        opened.append(await lower.open(words.metadata_dev, "Error opening metadata block device"))
        opened.append(await lower.open(words.data_dev, "Error getting data device"))
        table = words.table()
        pool = await pools.acquire(table, opened[0], opened[1], owner)
    except BaseException:
        for device in opened:
            await device.close()
        raise
    engine = pool.active.engine
    try:
        if engine.features.ignore_discard != table.features.ignore_discard:
            raise DeviceMapperError(errno.EINVAL, "Discard support cannot be disabled once enabled")
        engine.watch_metadata()
    except DeviceMapperError:
        await pools.release(pool)
        raise
    # The block size in a reload is validated, then ignored.
    return ThinPoolTarget(replace(table, block_size=engine.block_size), pool, pools)


THIN_POOL = TargetType(
    ThinPoolTarget, (1, 22, 0), _build, singleton=True, always_writable=True, immutable=True, shows_pool=True
)
