"""The thin target serves a thin device of a pool (drivers/md/dm-thin.c, thin_ctr to thin_io_hints)."""

import errno
from dataclasses import replace
from pathlib import Path

from thinsim.dm.activity import Activity, ActivityKind
from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.dm.emulator.pool.plane import DeviceBypass
from thinsim.dm.emulator.pool.pool_objects import PoolObject
from thinsim.dm.emulator.targets.interface import Ended
from thinsim.dm.emulator.targets.plain import PlainTarget, after_type
from thinsim.dm.emulator.targets.target_type import TableOwner, TargetServices, TargetType
from thinsim.dm.text import TableLine
from thinsim.dm.write_trace import TracedWrite
from thinsim.errors import DeviceMapperError
from thinsim.thin.device import ThinDevice
from thinsim.thin.modes import PoolMode
from thinsim.thin.table import THIN_TARGET, ThinTable, ThinTableWords
from thinsim.units import SECTOR_SIZE, bytes_of

_ZERO_PIECE = 1 << 20


class ThinTarget(PlainTarget):
    """A `ThinTarget` is a ``thin <pool> <thin id> [<external origin>]`` segment."""

    kind = THIN_TARGET

    def __init__(
        self,
        name: str,
        table: ThinTable,
        lower: tuple[LowerDevice, ...],
        thin: ThinDevice,
        pool: PoolObject,
        services: TargetServices,
    ) -> None:
        super().__init__(bytes_of(table.length), lower)
        self.pool: PoolObject = pool
        self._name = name
        self._table = table
        self._texts = [device.text for device in lower]
        self._origin = lower[1] if len(lower) > 1 else None
        self._pools = services.pools
        self._trace = services.trace
        self._activity = services.activity
        self._live = False
        self._thin = thin
        self._closed = False

    @property
    def granularity(self) -> int:
        """Return the data block size in bytes; 0 under ignore_discard."""
        engine = self.pool.active.engine
        return 0 if engine.features.ignore_discard else bytes_of(engine.block_size)

    @property
    def optimal_io(self) -> int:
        """Return the data block size in bytes (thin_io_hints)."""
        return bytes_of(self.pool.active.engine.block_size)

    @property
    def depends_on(self) -> tuple[tuple[int, int], ...]:
        """Return the origin before the pool: it is opened first (thin_ctr)."""
        return super().depends_on[::-1]

    @property
    def allocated(self) -> int:
        """Return the bytes of the mapped blocks."""
        return self._thin.mapped_sectors * SECTOR_SIZE

    async def status(self, *, flush: bool) -> str:
        """Return the number of mapped sectors and the highest mapped one."""
        status = await self.pool.active.thin_status(self._thin)
        return after_type(status.text(0, self._table.length))

    def table(self) -> str:
        """Return pool, thin id and external origin; ``Fail`` for a failed pool, as in the status."""
        if self.pool.active.engine.mode is PoolMode.FAIL:
            return "Fail"
        return after_type(self._table.text(*self._texts))

    async def read(self, offset: int, length: int) -> bytes:
        """Read; unmapped ranges are zeros."""
        return await self.pool.active.requests.read(self._thin, offset, length)

    async def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write; provision and break sharing as needed."""
        await self._write(offset, data, None)

    async def write_and_end(self, offset: int, data: bytes | memoryview, ended: Ended) -> None:
        """Write, and call *ended* when the write is mapped, unless a trace must have it before."""
        await self._write(offset, data, None if self._trace.recording else ended)

    async def _write(self, offset: int, data: bytes | memoryview, ended: Ended | None) -> None:
        await self.pool.active.requests.write(self._thin, offset, data, ended)
        self._trace.note(TracedWrite(self._name, "write", offset, len(data)))

    async def discard(self, offset: int, length: int) -> None:
        """Unmap the whole data blocks inside the range (process_discard_bio)."""
        await self.pool.active.requests.discard(self._thin, offset, length)
        self._trace.note(TracedWrite(self._name, "discard", offset, length))
        self._activity.note(Activity(ActivityKind.DISCARDED, self._name, self._table.thin_id, length))

    async def punch(self, offset: int, length: int) -> None:
        """Discard, then write zeros over the rest: parts of blocks, and the external origin."""
        if self.granularity:
            await self.discard(offset, length)
        for start, size in await self.pool.active.requests.content(self._thin, offset, length):
            for at in range(start, start + size, _ZERO_PIECE):
                await self.write(at, bytes(min(_ZERO_PIECE, start + size - at)))

    async def flush(self) -> None:
        """Return once earlier writes and their mappings are durable."""
        await self.pool.active.requests.flush(self._thin)

    async def awake(self) -> None:
        """Wait until a suspended pool has resumed."""
        await self.pool.awake()

    async def prepare_suspend(self, *, noflush: bool) -> None:
        """Let requests that wait for space begin again after the resume, if *noflush* (thin_presuspend)."""
        if noflush:
            self.pool.active.held.stop_waiting(self._thin)

    async def undo_suspend(self) -> None:
        """Let requests wait for space again."""
        self.pool.active.held.hold_again(self._thin)

    async def suspended(self) -> None:
        """Let requests wait for space again (thin_postsuspend)."""
        self.pool.active.held.hold_again(self._thin)

    async def prepare_resume(self) -> None:
        """Read the present size of the external origin (thin_preresume)."""
        if self._origin is not None:
            self._thin.origin_bytes = self._origin.size

    async def resume(self) -> None:
        """Record once that the table is live."""
        if not self._live:
            self._live = True
            self._activity.note(Activity(ActivityKind.ACTIVATED, self._name, self._table.thin_id))

    def aim(self, bypass: DeviceBypass, *, read_only: bool) -> None:
        """Let requests through to the pool's plane."""
        bypass.aim(self.pool.active.plane, self._thin, read_only=read_only)

    async def close(self) -> None:
        """Close the thin id; requests in progress end with EIO."""
        if not self._closed:
            self._closed = True
            if self._live:
                self._activity.note(Activity(ActivityKind.DEACTIVATED, self._name, self._table.thin_id))
            self.pool.active.close_thin(self._thin)
            await self._pools.release(self.pool)
            await super().close()


async def _build(line: TableLine, owner: TableOwner, services: TargetServices) -> ThinTarget:
    """Build the target; its errors come in the order of thin_ctr."""
    words = ThinTableWords.read(replace(line, start=0).text)
    lower, pools = services.lower, services.pools
    opened: list[LowerDevice] = []
    try:
        if words.origin_dev is not None:
            opened.append(await lower.open_read_only(words.origin_dev, "Error opening origin device"))
        own = await lower.own(words.pool_dev)
        if own is None and not await lower.run(Path(words.pool_dev).exists):
            raise DeviceMapperError(errno.ENODEV, f"Error opening pool device: {words.pool_dev}")
        table = words.table()
        pool = None if own is None else pools.of(own)
        if pool is None:
            raise DeviceMapperError(errno.EINVAL, f"Couldn't find pool object: {table.pool_dev}")
        opened.insert(0, await lower.open(table.pool_dev, "Error opening pool device"))
        origin = opened[1] if len(opened) > 1 else None
        thin = await pool.active.open_thin(table.thin_id, table.length, origin)
        # The kernel looks up the thin id first (thin_ctr).
        if pool.suspended:
            pool.active.close_thin(thin)
            raise DeviceMapperError(errno.EINVAL, "Unable to activate thin device while pool is suspended")
    except BaseException:
        for device in opened:
            await device.close()
        raise
    pools.share(pool)
    return ThinTarget(owner.name, table, tuple(opened), thin, pool, services)


THIN = TargetType(ThinTarget, (1, 22, 0), _build)
