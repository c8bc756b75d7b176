"""A `Watch` reads the figures of a running pool and receives each discard. It changes nothing in the pool."""

import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field

import trio

from fuse_backing.errors import ServerGoneError
from fuse_backing.events import LedgerEvent
from thinsim.dm.interface import DeviceMapper
from thinsim.errors import DeviceMapperError
from thinsim.rig.host_file import host_allocation
from thinsim.thin.status import parse_pool_status, parse_thin_status
from thinsim.thin.table import ThinTable, parse_thin_table
from thinsim.units import Sectors, bytes_of
from thinsim.watch.finding import FoundPool
from thinsim.watch.moment import Moment, WatchedDevice, moment

_EVENTS = 12


@dataclass(slots=True)
class Watch:
    """A `Watch` reads the figures of *pool*. *events* has its data file's newest events, oldest first."""

    pool: FoundPool
    events: deque[LedgerEvent] = field(default_factory=lambda: deque(maxlen=_EVENTS))

    async def look(self) -> Moment:
        """Return the pool's figures now. Raise DeviceMapperError or ControlError once it is gone."""
        pool = self.pool
        # noflush: a status that commits would change the pool (dm-thin.c, pool_status).
        status = parse_pool_status(await pool.dm.status(pool.name, noflush=True))
        totals = (await pool.store.totals_by_file()).get(pool.file)
        host = await trio.to_thread.run_sync(host_allocation, pool.host_file)
        return moment(
            time.time(),
            status,
            pool.block_bytes,
            host,
            await pool.dm.mappings(pool.name),
            await _devices(pool.dm, pool.name),
            given_back=totals.freed if totals is not None else 0,
            punches=totals.events if totals is not None else 0,
            discards=tuple(self.events),
            data_plane=(await pool.dm.plane_traffic(pool.name)).backend,
        )


@asynccontextmanager
async def watching(pool: FoundPool) -> AsyncGenerator[Watch, None]:
    """Watch *pool* and receive its events while the context is open."""
    watch = Watch(pool)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_follow, watch)
        try:
            yield watch
        finally:
            nursery.cancel_scope.cancel()


async def _follow(watch: Watch) -> None:
    # A store that ends also ends its pool; the next look reports that.
    with suppress(ServerGoneError):
        await _take_events(watch)


async def _take_events(watch: Watch) -> None:
    async with aclosing(watch.pool.store.follow()) as items:
        async for item in items:
            if isinstance(item, LedgerEvent) and item.file == watch.pool.file:
                watch.events.append(item)


async def _devices(dm: DeviceMapper, pool: str) -> Sequence[WatchedDevice]:
    """Return the active thin devices of *pool*, sorted by name."""
    found = []
    info = await dm.info(pool)
    for name in await dm.list():
        with suppress(DeviceMapperError):  # it has another target, or is gone meanwhile
            table: ThinTable = parse_thin_table(await dm.table(name))
            if table.pool_dev == f"{info.major}:{info.minor}":
                status = parse_thin_status(await dm.status(name, noflush=True))
                opened = (await dm.info(name)).open_count > 0
                mapped = bytes_of(Sectors(status.mapped_sectors))
                found.append(WatchedDevice(name, table.thin_id, mapped, opened))
    return found
