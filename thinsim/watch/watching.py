"""A `Watch` reads the figures of an active pool and receives each discard. It changes nothing in the pool."""

import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field

import trio

from fuse_backing.errors import ServerGoneError
from fuse_backing.events import LedgerEvent
from fuse_backing.store_client import StoreClient
from thinsim.block.kernel_view import traffic
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.errors import ConflictError, DeviceMapperError
from thinsim.node.active_pools import NodePool, active_thins
from thinsim.node.reclaim.candidates import held_bytes
from thinsim.node.reclaim.committed_map import CommittedMap, freed_runs_of
from thinsim.node.reclaim.data_file import DataFile
from thinsim.ranges import Range, overlap
from thinsim.rig.host_file import host_allocation
from thinsim.thin.mapping import Run
from thinsim.thin.status import parse_pool_status, parse_thin_status
from thinsim.units import Sectors, bytes_of
from thinsim.watch.finding import FoundPool
from thinsim.watch.moment import HostView, Moment, WatchedDevice, moment

_EVENTS = 12


@dataclass(slots=True)
class Watch:
    """A `Watch` reads the figures of *found*. *events* has its data file's newest events, oldest first."""

    found: FoundPool
    events: deque[LedgerEvent] = field(default_factory=lambda: deque(maxlen=_EVENTS))

    async def look(self) -> Moment:
        """Return the pool's figures now. Raise DeviceMapperError or ControlError once it is gone."""
        pool, data, store = self.found.pool, self.found.data, self.found.store
        # noflush: a status that commits would change the pool (dm-thin.c, pool_status).
        status = parse_pool_status(await pool.dm.status(pool.name, noflush=True))
        totals = None if store is None else (await store.totals_by_file()).get(self.found.file)
        size = status.total_data * pool.block_bytes
        host = None if data is None else await trio.to_thread.run_sync(_host, data, size)
        mappings, leaked = await _mappings(pool), None
        if mappings is None and data is not None and host is not None:
            leaked = await trio.to_thread.run_sync(_leaked, pool, data, host.ranges)
        sent = traffic(pool.data_device)
        return moment(
            time.time(),
            status,
            pool.block_bytes,
            host,
            mappings,
            await _devices(pool),
            leaked=leaked,
            given_back=None if store is None else totals.freed if totals is not None else 0,
            punches=None if store is None else totals.events if totals is not None else 0,
            discards=tuple(self.events),
            data_plane=await _data_plane(pool),
            discard_requests=sent.discards,
            discarded=sent.discarded_bytes,
        )


@asynccontextmanager
async def watching(found: FoundPool) -> AsyncGenerator[Watch, None]:
    """Watch a pool and receive its events while the context is open."""
    watch = Watch(found)
    async with trio.open_nursery() as nursery:
        if found.store is not None:
            nursery.start_soon(_follow, watch, found.store)
        try:
            yield watch
        finally:
            nursery.cancel_scope.cancel()


async def _follow(watch: Watch, store: StoreClient) -> None:
    # A store that ends also ends its pool; the next look reports that.
    with suppress(ServerGoneError):
        async with aclosing(store.follow()) as items:
            async for item in items:
                if isinstance(item, LedgerEvent) and item.file == watch.found.file:
                    watch.events.append(item)


def _host(data: DataFile, size: int) -> HostView:
    found = host_allocation(data.path)
    ranges = overlap(found.ranges, (data.offset, data.offset + size))
    return HostView([(start - data.offset, end - data.offset) for start, end in ranges], found.allocated)


async def _mappings(pool: NodePool) -> Mapping[int, Sequence[Run]] | None:
    """Return the mappings of an emulated pool. The kernel shows those of a metadata snapshot alone."""
    return await pool.dm.mappings(pool.name) if isinstance(pool.dm, EmulatedDeviceMapper) else None


def _leaked(pool: NodePool, data: DataFile, ranges: Sequence[Range]) -> int | None:
    """Return the bytes that the host holds for blocks that the last commit names as free; None: not known."""
    try:
        with CommittedMap.on(pool.metadata_device) as committed:
            return held_bytes(freed_runs_of(committed, lambda: ranges, pool.block_bytes))
    except (ConflictError, OSError):  # a commit was in progress at each try, or only root may read it
        return None


async def _data_plane(pool: NodePool) -> str:
    if not isinstance(pool.dm, EmulatedDeviceMapper):
        return ""
    return (await pool.dm.plane_traffic(pool.name)).backend


async def _devices(pool: NodePool) -> Sequence[WatchedDevice]:
    """Return the active thin devices of *pool*, sorted by name."""
    found = []
    for thin_id, name in (await active_thins(pool)).items():
        with suppress(DeviceMapperError):  # it is gone meanwhile
            status = parse_thin_status(await pool.dm.status(name, noflush=True))
            opened = (await pool.dm.info(name)).open_count > 0
            found.append(WatchedDevice(name, thin_id, bytes_of(Sectors(status.mapped_sectors)), opened))
    return sorted(found, key=lambda device: device.name)
