"""thin-pool serves a pool's own device (drivers/md/dm-thin.c, pool_ctr to pool_resume)."""

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
    """``thin-pool <metadata> <data> <block sectors> <low water blocks> [<features>]``.

    I/O on the pool's own device goes straight to the data device (pool_map).
    """

    kind = POOL_TARGET

    def __init__(self, table: PoolTable, pool: PoolObject, pools: PoolObjects) -> None:
        super().__init__(bytes_of(table.length), ())
        self.pool: PoolObject = pool
        self._table = table
        self._pools = pools
        self._closed = False
        self._loaded = True
        """Until it is live: then the pool's mode is no longer the table's."""

    @property
    def depends_on(self) -> tuple[tuple[int, int], ...]:
        """Metadata and data device."""
        return tuple(dict.fromkeys(self.pool.numbers))

    @property
    def granularity(self) -> int:
        """Of the data device; 0 unless discards are passed down."""
        return self.pool.data.granularity if self.pool.active.engine.passes_down else 0

    @property
    def logical_block(self) -> int:
        """As the data device (pool_iterate_devices)."""
        return self.pool.data.logical_block

    @property
    def optimal_io(self) -> int:
        """A data block (pool_io_hints)."""
        return self.block_bytes

    @property
    def allocated(self) -> int:
        """Bytes of the used data blocks."""
        return self.pool.active.engine.status().used_data * self.block_bytes

    @property
    def events(self) -> int:
        """Low water marks, changes of the mode, the no-space timeout."""
        return self.pool.active.engine.event_nr

    @property
    def block_bytes(self) -> int:
        """The data block size in bytes."""
        return bytes_of(self.pool.active.engine.block_size)

    async def status(self, *, flush: bool) -> str:
        """Return the pool's status line; a commit that fails shows in the mode (pool_status)."""
        if flush and not self.pool.suspended:
            await self.pool.active.commit_or_log()
        return after_type(self.pool.active.engine.status().text(0, self._table.length))

    def table(self) -> str:
        """Return the table's arguments."""
        return after_type(self._table.text(self.pool.metadata.text, self.pool.data.text))

    async def message(self, text: str) -> None:
        """Carry out a pool message."""
        await self.pool.active.message(text)

    async def read(self, offset: int, length: int) -> bytes:
        """Read the data device."""
        return await self.pool.data.read(offset, length)

    async def write(self, offset: int, data: bytes) -> None:
        """Write the data device."""
        await self.pool.data.write(offset, data)

    async def discard(self, offset: int, length: int) -> None:
        """Discard on the data device."""
        await self.pool.data.discard(offset, length)

    async def punch(self, offset: int, length: int) -> None:
        """Punch the data device."""
        await self.pool.data.punch(offset, length)

    async def flush(self) -> None:
        """Flush the data device."""
        await self.pool.data.flush()

    async def check_limits(self) -> None:
        """EINVAL when the table is longer than the data device."""
        if bytes_of(self._table.length) > self.pool.data.size:
            raise DeviceMapperError(errno.EINVAL, f"{self._table.data_dev} is too small for the pool's table")

    async def prepare_resume(self) -> None:
        """Take this table's features and size (pool_preresume); what grew is committed."""
        loaded, self._loaded = self._loaded, False
        await self.pool.active.resume(self._table, loaded=loaded)

    async def resume(self) -> None:
        """The thin devices' I/O is let through already."""
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
        """Take back what was held for space, commit (pool_postsuspend)."""
        self.pool.active.held.pool_suspended()
        await self.pool.active.commit_or_log()

    async def close(self) -> None:
        """The table is gone; with its last user so is the pool."""
        if not self._closed:
            self._closed = True
            await self._pools.release(self.pool)


async def _build(line: TableLine, owner: TableOwner, services: TargetServices) -> ThinPoolTarget:
    """Errors in the order of pool_ctr."""
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
    # The block size of a reload is validated and ignored.
    return ThinPoolTarget(replace(table, block_size=engine.block_size), pool, pools)


THIN_POOL = TargetType(
    ThinPoolTarget, (1, 22, 0), _build, singleton=True, always_writable=True, immutable=True, shows_pool=True
)
