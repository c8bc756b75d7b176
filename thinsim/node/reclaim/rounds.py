"""`reclaim` discards what an active pool has freed, in short pauses, while its thin devices are in use."""

from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import trio

from fuse_backing.allocation import merged
from thinsim.dm.interface import DeviceMapper
from thinsim.errors import ConflictError
from thinsim.node.active_pools import NodePool
from thinsim.node.reclaim.candidates import FreedRun, held_bytes
from thinsim.node.reclaim.committed_map import CommittedMap, freed_runs_of
from thinsim.node.reclaim.data_place import PoolData, place_of_device
from thinsim.node.reclaim.guard import PauseWatcher, guarded
from thinsim.node.reclaim.pace import Pace
from thinsim.node.reclaim.pausing import Pauser
from thinsim.node.reclaim.pool_pause import PoolPause, pause_of
from thinsim.node.reclaim.progress import ProgressReport, ReclaimProgress
from thinsim.node.reclaim.steady_process import stay_in_memory
from thinsim.ranges import Range, overlap, total
from thinsim.thin.status import PoolStatus, parse_pool_status

_RUNNING_MODES = ("rw", "out_of_data_space")
_MOST_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class ReclaimOptions:
    """`ReclaimOptions` bound the work of a reclaim."""

    pause: float = 0.05
    """The longest pause in seconds, as far as the pool itself allows."""
    share: float = 0.2
    """The largest share of the time for which the pool is suspended."""
    rate: int | None = None
    """The most bytes to discard in a second."""
    min_run: int = 0
    """The bytes of the smallest run of free blocks that is discarded."""


@dataclass(frozen=True, slots=True)
class ReclaimTarget:
    """A `ReclaimTarget` is an active pool with its committed map and its data."""

    name: str
    dm: DeviceMapper
    block_bytes: int
    pause: PoolPause
    committed: CommittedMap
    place: PoolData


async def reclaim(
    pool: NodePool, options: ReclaimOptions, progress: ReclaimProgress, report: ProgressReport
) -> None:
    """Discard the free blocks of *pool* for which the host holds space, until none is left.

    *progress* is right even if the reclaim fails, or is cancelled, which is possible between two pauses.
    ConflictError if the pool is suspended, read-only or needs a check, EnvironmentLacksError if no discard
    can reach the host.
    """
    pause = pause_of(pool)
    await require_running(pool.name, pool.dm, pause)
    place = await place_of_pool(pool)
    with closing(place), CommittedMap.on(pool.metadata_device) as committed:
        target = ReclaimTarget(pool.name, pool.dm, pool.block_bytes, pause, committed, place)
        async with guarded(pause) as guard:
            stay_in_memory()
            await reclaim_target(target, options, progress, report, guard)


async def reclaim_target(
    target: ReclaimTarget,
    options: ReclaimOptions,
    progress: ReclaimProgress,
    report: ProgressReport,
    guard: PauseWatcher,
) -> None:
    """Discard the free blocks of *target*, with *guard* as watcher of each pause. As `reclaim`."""
    begun = trio.current_time()
    try:
        await _Reclaim(target, options, progress, report, guard).run()
        progress.complete = True
    finally:
        progress.held_after = target.place.held()
        progress.seconds = trio.current_time() - begun


async def promise(pool: NodePool, min_run: int, progress: ReclaimProgress) -> None:
    """Count in *progress* what a reclaim of *pool* would free. Nothing is suspended or changed.

    Raises what `reclaim` raises for the pool.
    """
    await require_running(pool.name, pool.dm, pause_of(pool))
    place = await place_of_pool(pool)
    with closing(place), CommittedMap.on(pool.metadata_device) as committed:
        found = await trio.to_thread.run_sync(
            freed_runs_of, committed, place.allocated, pool.block_bytes, min_run
        )
        progress.begin(found, place)


async def require_running(name: str, dm: DeviceMapper, pause: PoolPause) -> PoolStatus:
    """Return the status of pool *name*. ConflictError unless it runs, may be written and needs no check."""
    await require_resumed(name, pause)
    # The pool commits for this status, so that its free map is that of now (dm-thin.c, pool_status).
    status = parse_pool_status(await dm.status(name))
    if status.mode not in _RUNNING_MODES or status.needs_check:
        state = "needs a check" if status.needs_check else f"is in mode {status.mode}"
        raise ConflictError(f"pool {name} {state}: deactivate it and run thin_check, then thin_repair")
    return status


async def require_resumed(name: str, pause: PoolPause) -> None:
    """Raise ConflictError if somebody has suspended pool *name*: only they know when it may be resumed."""
    if await pause.is_suspended():
        raise ConflictError(
            f"pool {name} is suspended, and not by thinsim: dmsetup resume {name}, if nobody needs it so"
        )


async def place_of_pool(pool: NodePool) -> PoolData:
    """Return the place of the data of *pool*. EnvironmentLacksError if nothing there takes discards."""
    blocks = pool.table.length // pool.table.block_size
    return await place_of_device(pool.data_device, blocks * pool.block_bytes, pool.block_bytes)


@dataclass(slots=True)
class _Reclaim:
    """A `_Reclaim` is one reclaim in progress."""

    target: ReclaimTarget
    options: ReclaimOptions
    progress: ReclaimProgress
    report: ProgressReport
    guard: PauseWatcher

    async def run(self) -> None:
        progress, block_bytes = self.progress, self.target.block_bytes
        unit = -(-self.target.place.freer.unit // block_bytes) * block_bytes
        pace = Pace(self.options.pause, unit, self.options.share, self.options.rate)
        pauser = Pauser(self.target.pause, self.guard, self.target.committed, self.target.place.freer, pace)
        found = await self._look()
        progress.begin(found, self.target.place)
        while found and progress.rounds < _MOST_ROUNDS:
            progress.rounds += 1
            await require_running(self.target.name, self.target.dm, self.target.pause)
            before, discarded = found, list[Range]()
            try:
                await self._round(deque(found), pauser, discarded)
            finally:  # a reclaim that is interrupted shows what it has freed
                with trio.CancelScope(shield=True):
                    found = await self._look()
                freed = _freed(before, found, merged(sorted(discarded)), block_bytes)
                if progress.freed is not None:
                    progress.freed += freed
                    progress.left = held_bytes(found)
            if not freed or progress.freed is None:
                return  # another round would only repeat this one

    async def _look(self) -> Sequence[FreedRun]:
        target = self.target
        return await trio.to_thread.run_sync(
            freed_runs_of,
            target.committed,
            target.place.allocated,
            target.block_bytes,
            self.options.min_run,
        )

    async def _round(self, queue: deque[FreedRun], pauser: Pauser, discarded: list[Range]) -> None:
        while queue:
            await require_resumed(self.target.name, self.target.pause)
            result = await pauser.pause(queue)
            discarded += result.discarded
            self.progress.add(result)
            self.report(self.progress)
            await trio.sleep(pauser.pace.rest(result.seconds, total(result.discarded)))


def _freed(
    before: Sequence[FreedRun], after: Sequence[FreedRun], discarded: Sequence[Range], block_bytes: int
) -> int:
    """Return the bytes of *discarded* that the host held before, and no longer holds for free blocks."""
    return _held_within(before, discarded, block_bytes) - _held_within(after, discarded, block_bytes)


def _held_within(found: Sequence[FreedRun], ranges: Sequence[Range], block_bytes: int) -> int:
    held = 0
    for each in found:
        inside = total(overlap(ranges, (each.begin * block_bytes, each.end * block_bytes)))
        held += min(each.held, inside)
    return held
