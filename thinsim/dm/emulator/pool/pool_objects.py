"""`PoolObjects` keeps each pool from the first table that names its metadata device to the last.

A pool target and its thin targets share one pool; a reload finds it again (dm-thin.c, __pool_find).
"""

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from thinsim.block.borrowed import Borrowed
from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.dm.emulator.pool.active_pool import ActivePool, activate
from thinsim.dm.emulator.pool.plane import Plane
from thinsim.dm.emulator.runner import Runner
from thinsim.dm.write_trace import WriteTrace
from thinsim.errors import DeviceMapperError
from thinsim.thin.table import PoolTable


class PoolObject:
    """A `PoolObject` is a pool with its two open devices, and the mapped device that shows it."""

    def __init__(self, active: ActivePool, metadata: LowerDevice, data: LowerDevice, owner: object) -> None:
        self.active = active
        self.metadata = metadata
        self.data = data
        self.owner = owner
        self._resumed = trio.Event()
        self.users = 1

    @property
    def suspended(self) -> bool:
        """Return whether the pool has not resumed yet, or not since its last suspend."""
        return not self._resumed.is_set()

    @suspended.setter
    def suspended(self, suspended: bool) -> None:
        if not suspended:
            self._resumed.set()
        elif self._resumed.is_set():
            self._resumed = trio.Event()

    async def awake(self) -> None:
        """Return once the pool is not suspended."""
        while self.suspended:
            await self._resumed.wait()

    @property
    def numbers(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the numbers of the metadata and the data device."""
        return self.metadata.number, self.data.number


class PoolObjects:
    """`PoolObjects` are the pools of one device-mapper; *no_space_timeout* is for their `HeldWrites`."""

    def __init__(
        self,
        run: Runner,
        nursery: trio.Nursery,
        no_space_timeout: Callable[[], float],
        plane: Plane,
        trace: WriteTrace,
    ) -> None:
        self._run = run
        self._plane = plane
        self._trace = trace
        self._no_space_timeout = no_space_timeout
        self._nursery = nursery
        self._objects: list[PoolObject] = []
        self._clocks: dict[int, trio.CancelScope] = {}
        self._lock = trio.Lock()

    def of(self, owner: object) -> PoolObject | None:
        """Return the pool that *owner*, a mapped device, shows, or None."""
        return next((each for each in self._objects if each.owner is owner), None)

    def all(self) -> tuple[PoolObject, ...]:
        """Return every pool, including those that only thin devices keep open."""
        return tuple(self._objects)

    async def acquire(
        self, table: PoolTable, metadata: LowerDevice, data: LowerDevice, owner: object
    ) -> PoolObject:
        """Return the pool on *metadata*, opened if necessary; only a new pool keeps both devices.

        EBUSY: the pool of another device, or another data device. EINVAL: *owner* shows another pool.
        """
        async with self._lock:
            known = next((each for each in self._objects if _same(each.metadata, metadata)), None)
            if known is not None:
                if known.owner is not owner:
                    raise DeviceMapperError(errno.EBUSY, "metadata device already in use by a pool")
                if not _same(known.data, data):
                    raise DeviceMapperError(errno.EBUSY, "data device already in use by a pool")
                known.users += 1
                await metadata.close()
                await data.close()
                return known
            if self.of(owner) is not None:
                raise DeviceMapperError(errno.EINVAL, "different pool cannot replace a pool")
            active = await activate(
                table,
                Borrowed(metadata.block),
                Borrowed(data.block),
                self._run,
                lambda engine: self._plane.of_pool(engine, data.block, self._trace),
            )
            active.held.timeout = self._no_space_timeout
            opened = PoolObject(active, metadata, data, owner)
            self._objects.append(opened)
            scope = self._clocks[id(opened)] = trio.CancelScope()
            self._nursery.start_soon(_keep_time, active, scope)
            return opened

    def share(self, pool: PoolObject) -> None:
        """Count one more user, a thin target."""
        pool.users += 1

    async def release(self, pool: PoolObject) -> None:
        """Count one user less; the last one closes the pool and its devices (pool_dec, __pool_destroy)."""
        pool.users -= 1
        if pool.users:
            return
        # Not to be interrupted: a half-closed pool would keep its devices open.
        with trio.CancelScope(shield=True):
            self._objects.remove(pool)
            self._clocks.pop(id(pool)).cancel()
            try:
                await pool.active.close()
            finally:
                await pool.metadata.close()
                await pool.data.close()


def _same(one: LowerDevice, other: LowerDevice) -> bool:
    return one.block is other.block or (one.number != (0, 0) and one.number == other.number)


async def _keep_time(pool: ActivePool, scope: trio.CancelScope) -> None:
    """Commit once per period, and end waits for space."""
    with scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.keep_committing)
            nursery.start_soon(pool.keep_time)


@asynccontextmanager
async def pool_objects(
    run: Runner, no_space_timeout: Callable[[], float], plane: Plane, trace: WriteTrace
) -> AsyncIterator[PoolObjects]:
    """Yield the pools of a device-mapper; the tasks that commit them end with the block."""
    async with trio.open_nursery() as nursery:
        yield PoolObjects(run, nursery, no_space_timeout, plane, trace)
        nursery.cancel_scope.cancel()
