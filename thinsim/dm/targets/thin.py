"""thin: a thin device of a pool (drivers/md/dm-thin.c, thin_ctr to thin_io_hints)."""

import errno

from thinsim.dm.activity import Act, Activity, ActivityLog
from thinsim.dm.lower_devices import LowerDevice, LowerDevices
from thinsim.dm.targets.plain import PlainTarget, after_type
from thinsim.dm.targets.pool_objects import PoolObject, PoolObjects
from thinsim.dm.write_trace import TracedWrite, WriteTrace
from thinsim.errors import DeviceMapperError
from thinsim.thin.table import ThinTable, parse_thin_table
from thinsim.units import SECTOR_SIZE, bytes_of


class ThinTarget(PlainTarget):
    """``thin <pool> <thin id>``."""

    kind = "thin"

    def __init__(
        self,
        name: str,
        table: ThinTable,
        device: LowerDevice,
        pool: PoolObject,
        pools: PoolObjects,
        trace: WriteTrace,
        activity: ActivityLog,
    ) -> None:
        super().__init__(bytes_of(table.length), (device,))
        self.pool = pool
        self._name = name
        self._table = table
        self._pool_device = device
        self._pools = pools
        self._trace = trace
        self._activity = activity
        self._live = False
        self._thin = pool.active.open_thin(table.thin_id, table.length)
        pools.share(pool)
        self._closed = False

    @property
    def granularity(self) -> int:
        """A data block; 0 under ignore_discard."""
        engine = self.pool.active.engine
        return 0 if engine.features.ignore_discard else bytes_of(engine.block_size)

    @property
    def allocated(self) -> int:
        """Bytes of the mapped blocks."""
        return self._thin.status().mapped_sectors * SECTOR_SIZE

    def status(self) -> str:
        """Return mapped sectors and the highest mapped one."""
        return after_type(self._thin.status().text(0, self._table.length))

    def table(self) -> str:
        """Return pool and thin id."""
        return after_type(self._table.text(self._pool_device.text))

    async def read(self, offset: int, length: int) -> bytes:
        """Read; what is not mapped is zeros."""
        return await self.pool.active.read(self._thin, offset, length)

    async def write(self, offset: int, data: bytes) -> None:
        """Write: provision and break sharing as needed."""
        await self.pool.active.write(self._thin, offset, data)
        self._trace.note(TracedWrite(self._name, "write", offset, len(data)))

    async def discard(self, offset: int, length: int) -> None:
        """Unmap the whole data blocks inside the range (process_discard_bio)."""
        await self.pool.active.discard(self._thin, offset, length)
        self._trace.note(TracedWrite(self._name, "discard", offset, length))
        self._activity.note(Activity(Act.DISCARDED, self._name, self._table.thin_id, length))

    async def flush(self) -> None:
        """Return once what was written is durable, its mappings included."""
        await self.pool.active.flush(self._thin)

    async def resume(self) -> None:
        """Its table is live."""
        if not self._live:
            self._live = True
            self._activity.note(Activity(Act.ACTIVATED, self._name, self._table.thin_id))

    async def close(self) -> None:
        """Close the thin id; requests under way end with EIO."""
        if not self._closed:
            self._closed = True
            if self._live:
                self._activity.note(Activity(Act.DEACTIVATED, self._name, self._table.thin_id))
            self.pool.active.close_thin(self._thin)
            await self._pools.release(self.pool)
            await super().close()


async def build(
    name: str,
    line: str,
    lower: LowerDevices,
    pools: PoolObjects,
    trace: WriteTrace,
    activity: ActivityLog,
) -> ThinTarget:
    """Return the target of a table *line* on device *name*; errors in the order of thin_ctr."""
    table = parse_thin_table(line)
    if table.origin_dev is not None:
        raise DeviceMapperError(errno.EINVAL, f"external origins are not served yet: {table.origin_dev}")
    own = await lower.own(table.pool_dev)
    if own is None:
        raise DeviceMapperError(errno.EINVAL, f"Error opening pool device: {table.pool_dev}")
    pool = pools.of(own)
    if pool is None:
        raise DeviceMapperError(errno.EINVAL, f"Couldn't find pool object: {table.pool_dev}")
    device = await lower.open(table.pool_dev, "Error opening pool device")
    try:
        # The kernel looks for the thin id first (thin_ctr: open, then the check of the suspended pool).
        target = ThinTarget(name, table, device, pool, pools, trace, activity)
        if pool.suspended:
            await target.close()
            raise DeviceMapperError(errno.EINVAL, "Unable to activate thin device while pool is suspended")
    except BaseException:
        await device.close()
        raise
    return target
