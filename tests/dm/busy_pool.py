"""A `BusyPool` has thin devices with writers, and changes everything about the pool while they write."""

import itertools
import random
from array import array
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from tests.dm.flush_log import FlushLog
from tests.dm.mappers_under_test import BLOCK, POOL, EmulatedMapper, pool_table, thin_table
from tests.dm.plane_oracle import PIECE, PIECES, Region, content, found_marks, stamp
from tests.dm.racing_reader import RacingReader
from tests.dm.region_writer import SIZES, DirectDevice, RegionWriter, Terms
from thinsim.thin.status import PoolStatus, parse_pool_status

FILLER, FILLER_ID = "filler", 100
MOST_SNAPSHOTS = 3


@dataclass(frozen=True, slots=True)
class BusyThin:
    """A `BusyThin` is a thin device with its writers and its reader."""

    name: str
    thin_id: int
    writers: tuple[RegionWriter, ...]
    reader: RacingReader


@dataclass(slots=True)
class RememberedSnapshot:
    """A `RememberedSnapshot` is an active snapshot and what it holds: stamps, and the bytes after them."""

    name: str
    thin_id: int
    marks: "array[int]"
    rest: bytes


@dataclass(frozen=True, slots=True)
class BusyShape:
    """A `BusyShape` has the sizes of a pool and of its devices, in data blocks."""

    devices: int
    thin_blocks: int
    own: int
    """Pieces at the beginning of each device that its writers have; another program may write to the rest."""
    blocks: int
    """Data blocks of the pool at first."""
    most: int
    """Data blocks that the pool grows to at most."""


class BusyPool:
    """A `BusyPool` is a pool of *shape*; *seed* decides what its threads request and what changes.

    *flush_logs* is a directory for the logs of the writers, if anybody wants them.
    """

    def __init__(
        self, mapper: EmulatedMapper, shape: BusyShape, seed: int, flush_logs: Path | None = None
    ) -> None:
        self.terms = Terms(mapper.no_space)
        self.thins: list[BusyThin] = []
        self.counts: dict[str, int] = {}
        self._mapper = mapper
        self._shape = shape
        self._chance = random.Random(seed)
        self._blocks = shape.blocks
        self._features = "0 0"
        self._table = trio.Lock()
        self._snapshots: list[RememberedSnapshot] = []
        self._next_id = 200
        self._acts = [
            *(self._snapshot, self._rest) * 2,
            self._snapshot_without_suspend,
            *(self._delete_snapshot, self._write_snapshot) * 2,
            *(self._verify_snapshot, self._snapshot_of_snapshot),
            *(self._suspend_pool, self._reload_pool, self._reload_thin, self._grow, self._fill),
        ]
        for number in range(shape.devices):
            name = f"thin-{number}"
            path = mapper.dm.path(name)
            # The regions meet inside a data block, so that two writers provision it and break its sharing.
            middle = shape.own // 2 // PIECES * PIECES + 3
            regions = Region(number, 0, middle), Region(number, middle, shape.own - middle)
            logs = [FlushLog(flush_logs, region) if flush_logs else None for region in regions]
            writers = [RegionWriter(path, *each, seed) for each in zip(regions, logs, strict=True)]
            self.thins.append(BusyThin(name, number, tuple(writers), RacingReader(path, regions, seed)))

    async def create(self) -> None:
        """Create the pool with its devices."""
        await self._mapper.dm.create(POOL, self._pool_table())
        for thin in self.thins:
            await self._message(f"create_thin {thin.thin_id}")
        await self._message(f"create_thin {FILLER_ID}")
        await self._activate()

    async def reopen(self, look: Callable[[], None]) -> None:
        """Remove all devices and the pool, call *look*, and create them again."""
        for name in (*(thin.name for thin in self.thins), FILLER):
            await self._mapper.dm.remove(name, retry=True)
        await self._mapper.dm.remove(POOL, retry=True)
        look()
        await self._mapper.dm.create(POOL, self._pool_table())
        await self._activate()

    async def _activate(self) -> None:
        for thin in self.thins:
            await self._mapper.dm.create(thin.name, thin_table(thin.thin_id, self._shape.thin_blocks))
        await self._mapper.dm.create(FILLER, thin_table(FILLER_ID, self._shape.most))

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Run the writers during the context, and give them space when they wait for it."""
        self.terms.stop.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_space)
            async with trio.open_nursery() as writing:
                limiter = trio.CapacityLimiter(1000)
                works = [each.work for each in self._writers()] + [thin.reader.work for thin in self.thins]
                for work in works:
                    writing.start_soon(partial(trio.to_thread.run_sync, work, self.terms, limiter=limiter))
                try:
                    yield
                finally:
                    self.terms.stop.set()
            nursery.cancel_scope.cancel()

    async def change_until(self, deadline: float, *, errors: bool) -> None:
        """Make every kind of change, in random order, once and then again and again until *deadline*.

        With *errors*, writes may also fail without space.
        """
        acts = [*self._acts, *((self._error_without_space,) if errors else ())]
        for turn in itertools.count():
            self._chance.shuffle(acts)
            for act in acts:
                if self.terms.stop.is_set() or (turn and trio.current_time() > deadline):
                    return
                await act()
                self._count(act.__name__.strip("_"))

    async def verify(self) -> None:
        """Check every byte of devices and snapshots, and the metadata."""
        for writer in self._writers():
            await trio.to_thread.run_sync(writer.verify)
        for snapshot in self._snapshots:
            await self._verify(snapshot)
        assert list(await self._mapper.check(POOL)) == []

    async def delete_snapshots(self) -> None:
        """Remove and delete every snapshot."""
        while self._snapshots:
            await self._delete_snapshot()

    async def empty(self) -> None:
        """Discard every block of every device."""
        for thin in self.thins:
            await self._mapper.discard(thin.name, 0, self._shape.thin_blocks * BLOCK)
            for writer in thin.writers:
                writer.region.marks = array("Q", [0]) * writer.region.count
        await self._discard_filler()

    async def status(self, *, noflush: bool = False) -> PoolStatus:
        """Return the pool's status, after a commit unless *noflush*."""
        return parse_pool_status(await self._mapper.dm.status(POOL, noflush=noflush))

    def missing(self) -> set[str]:
        """Return the kinds of change that were never made."""
        return {"shortage", *(act.__name__.strip("_") for act in self._acts)} - self.counts.keys()

    def _writers(self) -> list[RegionWriter]:
        return [writer for thin in self.thins for writer in thin.writers]

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def _pool_table(self) -> str:
        return pool_table(self._mapper, self._features, self._blocks)

    async def _message(self, text: str) -> None:
        await self._mapper.dm.message(POOL, 0, text)

    # Snapshots

    async def _snapshot(self) -> None:
        await self._take_snapshot(self._suspended)

    async def _snapshot_without_suspend(self) -> None:
        # The kernel warns against it. Here the pool's lock makes it a point in time nevertheless.
        await self._take_snapshot(lambda _: nullcontext())

    async def _take_snapshot(self, prepared: Callable[[str], AbstractAsyncContextManager[None]]) -> None:
        if len(self._snapshots) >= MOST_SNAPSHOTS:
            await self._delete_snapshot()
        thin = self._chance.choice(self.thins)
        windows = [(writer.region, writer.region.open_window()) for writer in thin.writers]
        async with prepared(thin.name), self._table:
            thin_id = self._new_id()
            await self._message(f"create_snap {thin_id} {thin.thin_id}")
            for region, window in windows:
                region.close_window(window)
        snapshot = await self._opened(thin_id, self._shape.own)
        for _, window in windows:
            found = snapshot.marks[window.first : window.first + len(window.before)]
            await trio.to_thread.run_sync(
                window.assert_point_in_time, found, f"{snapshot.name} of {thin.name}"
            )
        self._snapshots.append(snapshot)

    async def _snapshot_of_snapshot(self) -> None:
        if not self._snapshots or len(self._snapshots) >= MOST_SNAPSHOTS:
            return
        origin = self._chance.choice(self._snapshots)
        async with self._suspended(origin.name), self._table:
            thin_id = self._new_id()
            await self._message(f"create_snap {thin_id} {origin.thin_id}")
        snapshot = await self._opened(thin_id, len(origin.marks))
        self._assert_same(snapshot, origin)
        self._snapshots.append(snapshot)

    async def _opened(self, thin_id: int, own: int) -> RememberedSnapshot:
        name = f"snap-{thin_id}"
        async with self._table:
            await self._mapper.dm.create(name, thin_table(thin_id, self._shape.thin_blocks))
        return await self._read(name, thin_id, own)

    async def _read(self, name: str, thin_id: int, own: int) -> RememberedSnapshot:
        def read() -> RememberedSnapshot:
            with DirectDevice(self._mapper.dm.path(name)) as device:
                data = device.read(0, self._shape.thin_blocks * PIECES)
            return RememberedSnapshot(name, thin_id, found_marks(data[: own * PIECE], 0), data[own * PIECE :])

        return await trio.to_thread.run_sync(read)

    async def _verify_snapshot(self) -> None:
        if self._snapshots:
            await self._verify(self._chance.choice(self._snapshots))

    async def _verify(self, snapshot: RememberedSnapshot) -> None:
        self._assert_same(await self._read(snapshot.name, snapshot.thin_id, len(snapshot.marks)), snapshot)

    @staticmethod
    def _assert_same(found: RememberedSnapshot, known: RememberedSnapshot) -> None:
        wrong = [at for at, (a, b) in enumerate(zip(found.marks, known.marks, strict=True)) if a != b]
        assert not wrong, (
            f"{found.name} differs from {known.name} in {len(wrong)} pieces, the first is {wrong[0]}: "
            f"stamp {found.marks[wrong[0]]:#x}, not {known.marks[wrong[0]]:#x}"
        )
        assert found.rest == known.rest, f"{found.name} differs from {known.name} where fio writes"

    async def _write_snapshot(self) -> None:
        if not self._snapshots:
            return
        snapshot = self._chance.choice(self._snapshots)
        first = self._chance.randrange(len(snapshot.marks))
        count = min(self._chance.choice(SIZES), len(snapshot.marks) - first)
        mark = stamp(snapshot.thin_id, self._new_id())
        if self.terms.writes_may_fail:
            return

        def write() -> None:
            with DirectDevice(self._mapper.dm.path(snapshot.name)) as device:
                device.write(first, b"".join([content(mark, first + number) for number in range(count)]))

        await trio.to_thread.run_sync(write)
        snapshot.marks[first : first + count] = array("Q", [mark]) * count
        await self._verify(snapshot)

    async def _delete_snapshot(self) -> None:
        if not self._snapshots:
            return
        snapshot = self._snapshots.pop(self._chance.randrange(len(self._snapshots)))
        await self._verify(snapshot)
        await self._mapper.dm.remove(snapshot.name, retry=True)
        async with self._table:
            await self._message(f"delete {snapshot.thin_id}")

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    # Tables and suspension

    async def _rest(self) -> None:
        await trio.sleep(0.3)

    @asynccontextmanager
    async def _suspended(self, name: str) -> AsyncIterator[None]:
        try:
            await self._mapper.dm.suspend(name)
            yield
        finally:
            with trio.CancelScope(shield=True):
                await self._mapper.dm.resume(name)

    async def _suspend_pool(self) -> None:
        async with self._table, self._suspended(POOL):
            await trio.sleep(self._chance.choice((0, 0.02, 0.1)))

    async def _reload_pool(self) -> None:
        async with self._table:
            await self._mapper.dm.load(POOL, self._pool_table())
            async with self._suspended(POOL):
                pass

    async def _reload_thin(self) -> None:
        thin = self._chance.choice(self.thins)
        async with (
            self._table
        ):  # a thin table cannot be loaded while the pool is suspended: dm-thin.c, thin_ctr
            await self._mapper.dm.load(thin.name, thin_table(thin.thin_id, self._shape.thin_blocks))
        async with self._suspended(thin.name):
            pass

    async def _grow(self) -> None:
        if self._blocks < self._shape.most:
            self._blocks = min(self._blocks + self._chance.choice((1, 16, 64)), self._shape.most)
            await self._reload_pool()

    # Space

    async def _keep_space(self) -> None:
        """End each shortage after the writers have waited for a moment."""
        while True:
            await trio.sleep(0.05)
            # Without noflush, each look would be a commit.
            if (await self.status(noflush=True)).mode == "out_of_data_space":
                self._count("shortage")
                await trio.sleep(0.2)
                await self._chance.choice((self._grow, self._discard_filler))()

    async def _fill(self) -> None:
        """Write to the filler until the pool is out of data space; the last write waits for the keeper."""
        before = self.counts.get("shortage", 0)
        for offset in range(0, self._shape.most * BLOCK, 1 << 20):
            if self.counts.get("shortage", 0) > before:
                return
            try:
                await self._mapper.write(FILLER, offset, b"f" * (1 << 20))
            except OSError as error:
                if not self.terms.excuses(error, might_fail=False):
                    raise
                return

    async def _discard_filler(self) -> None:
        await self._mapper.discard(FILLER, 0, self._shape.most * BLOCK)

    async def _error_without_space(self) -> None:
        """Fill the pool while writes that find no space fail."""
        self.terms.writes_may_fail, before = True, self.terms.failed_writes
        self._features = "0 1 error_if_no_space"
        await self._reload_pool()
        await self._fill()
        with trio.move_on_after(0.5):
            while self.terms.failed_writes == before:
                await trio.sleep(0.01)
        self._features = "0 0"
        await self._reload_pool()
        # A writer looks at the terms when its request has failed, which may be later.
        writers = self._writers()
        requests = [writer.requests for writer in writers]
        while not self.terms.stop.is_set() and any(
            writer.requests == number for writer, number in zip(writers, requests, strict=True)
        ):
            await trio.sleep(0.01)
        self.terms.writes_may_fail = False
