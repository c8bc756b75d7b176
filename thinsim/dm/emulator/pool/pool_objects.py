"""Keeps pools by metadata device, from the first table that names one to the last (dm-thin.c, __pool_find).

A pool target and the thin targets on it share one; a reload finds it again.
"""

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from thinsim.block.borrowed import Borrowed
from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.dm.emulator.pool.active_pool import ActivePool, activate
from thinsim.dm.emulator.runner import Runner
from thinsim.errors import DeviceMapperError
from thinsim.thin.table import PoolTable


class PoolObject:
    """A pool, the two devices it keeps open, and the device of ours that shows it."""

    def __init__(self, active: ActivePool, metadata: LowerDevice, data: LowerDevice, owner: object) -> None:
        self.active = active
        self.metadata = metadata
        self.data = data
        self.owner = owner
        self._resumed = trio.Event()
        self.users = 1

    @property
    def suspended(self) -> bool:
        """Until the first resume, and from each suspend to the next resume."""
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
        """Of metadata and data device."""
        return self.metadata.number, self.data.number


class PoolObjects:
    """The pools of one device-mapper; *no_space_timeout* as ``HeldWrites`` takes it."""

    def __init__(self, run: Runner, nursery: trio.Nursery, no_space_timeout: Callable[[], float]) -> None:
        self._run = run
        self._no_space_timeout = no_space_timeout
        self._nursery = nursery
        self._objects: list[PoolObject] = []
        self._clocks: dict[int, trio.CancelScope] = {}
        self._lock = trio.Lock()

    def of(self, owner: object) -> PoolObject | None:
        """Return the pool that *owner*, a mapped device, shows; None if it shows none."""
        return next((each for each in self._objects if each.owner is owner), None)

    def all(self) -> tuple[PoolObject, ...]:
        """Return every pool, also those that no device shows any more and thin devices keep."""
        return tuple(self._objects)

    async def acquire(
        self, table: PoolTable, metadata: LowerDevice, data: LowerDevice, owner: object
    ) -> PoolObject:
        """Return the pool on *metadata*, opened if it is not yet; it keeps both devices only when it is new.

        EBUSY: another device's pool, or another data device. EINVAL: *owner* shows another pool.
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
            active = await activate(table, Borrowed(metadata.block), Borrowed(data.block), self._run)
            active.held.timeout = self._no_space_timeout
            opened = PoolObject(active, metadata, data, owner)
            self._objects.append(opened)
            scope = self._clocks[id(opened)] = trio.CancelScope()
            self._nursery.start_soon(_keep_time, active, scope)
            return opened

    def share(self, pool: PoolObject) -> None:
        """One user more: a thin target."""
        pool.users += 1

    async def release(self, pool: PoolObject) -> None:
        """One user less; the last one closes the pool and its devices (pool_dec, __pool_destroy)."""
        pool.users -= 1
        if pool.users:
            return
        # Once begun it is finished: a pool half closed would keep its devices open.
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
    """Commit once a period, and end waits for space."""
    with scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.keep_committing)
            nursery.start_soon(pool.keep_time)


@asynccontextmanager
async def pool_objects(run: Runner, no_space_timeout: Callable[[], float]) -> AsyncIterator[PoolObjects]:
    """Yield the pools of a device-mapper; whatever commits them ends with the block."""
    async with trio.open_nursery() as nursery:
        yield PoolObjects(run, nursery, no_space_timeout)
        nursery.cancel_scope.cancel()
