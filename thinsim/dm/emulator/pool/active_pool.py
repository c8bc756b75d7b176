"""A pool in service: the engine, the two devices below it, and the order in which they are used.

The engine (``thinsim.thin``) decides, the executor acts; this module keeps what must not overlap
apart, commits when the kernel would, and turns device errors into the errno a bio ends with.
"""

import errno
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import trio

from thinsim.block.interface import BlockDevice
from thinsim.dm.emulator.gate import Gate
from thinsim.dm.emulator.lower_devices import LowerDevice
from thinsim.dm.emulator.pool.commit_clock import COMMIT_PERIOD, CommitClock
from thinsim.dm.emulator.pool.executor import execute, execute_read
from thinsim.dm.emulator.pool.external_origin import OriginCopy, fill_in, without_origin
from thinsim.dm.emulator.pool.held_writes import HeldWrites
from thinsim.dm.emulator.pool.lookups import look_up
from thinsim.dm.emulator.pool.pool_io import Outcome, discard, io_error, write
from thinsim.dm.emulator.pool.remap_lock import RemapLock
from thinsim.dm.emulator.runner import Runner
from thinsim.dm.metadata_device import MetadataDevice
from thinsim.errors import DeviceMapperError
from thinsim.thin.device import ThinDevice
from thinsim.thin.mapping import Run
from thinsim.thin.messages import send_message
from thinsim.thin.modes import PoolMode
from thinsim.thin.plan import Commit, ReadZeros
from thinsim.thin.pool import Pool
from thinsim.thin.space_errors import OutOfDataSpace
from thinsim.thin.status import ThinStatus
from thinsim.thin.table import PoolTable
from thinsim.units import Sectors, bytes_of

log = logging.getLogger(__name__)

T = TypeVar("T")


class ActivePool:
    """One pool with its data and metadata devices; closes both."""

    def __init__(self, engine: Pool, data: BlockDevice, metadata: MetadataDevice, run: Runner) -> None:
        self.engine = engine
        self.gate = Gate()
        self._data = data
        self._metadata = metadata
        self._run = run
        self._lock = RemapLock()
        self.when_changed: Callable[[], None] = lambda: None
        """Called after there may have been an event. No checkpoint."""
        self._thins: dict[ThinDevice, LowerDevice | None] = {}
        self.held = HeldWrites(engine.modes)
        self._closed = False
        self._clock = CommitClock(engine)

    async def message(self, text: str) -> None:
        """Carry out a message and commit; a failing commit shows in the mode only (pool_message)."""
        async with self._changing():
            if self._closed:
                raise DeviceMapperError(errno.ENXIO, "the pool was removed")
            await self._run(send_message, self.engine, text)

    async def open_thin(self, thin_id: int, length: Sectors, origin: LowerDevice | None = None) -> ThinDevice:
        """Open *thin_id*; ENODATA when the pool has none. *origin* is its external origin."""
        size = None if origin is None else origin.size
        async with self._lock.alone():
            device = await self._look(lambda: self.engine.open_thin(thin_id, length, size))
        self._thins[device] = origin
        return device

    def close_thin(self, device: ThinDevice) -> None:
        """Close what :meth:`open_thin` gave: requests that have not begun by now end with EIO."""
        del self._thins[device]
        self.engine.close_thin(device)

    async def thin_status(self, device: ThinDevice) -> ThinStatus:
        """Return the status of *device*."""
        async with self._lock.shared():
            return await self._look(device.status)

    async def mappings(self) -> dict[int, list[Run]]:
        """Return the mappings of every device."""
        async with self._lock.alone():
            found: dict[int, list[Run]] = await self._run(self._mappings)
            return found

    async def check(self) -> list[str]:
        """Return what the checker finds wrong with the metadata."""
        async with self._lock.alone():
            problems: list[str] = await self._run(self.engine.check)
            return problems

    async def commit(self) -> None:
        """Commit: a pool in service writes its superblock even when nothing has changed."""
        if self.engine.metadata.transaction.in_service or self.engine.changed:
            async with self._changing():
                await self._run(self.engine.commit)

    async def commit_or_log(self) -> None:
        """Commit where the kernel does not care whether it works: the mode shows it (pool_status)."""
        if self.engine.mode > PoolMode.OUT_OF_DATA_SPACE:
            return
        try:
            await self.commit()
        except DeviceMapperError as error:
            log.error("commit: %s", error)

    async def read(self, device: ThinDevice, offset: int, length: int) -> bytes:
        """Return *length* bytes of *device*."""
        async with self.gate.passing(), self._lock.shared():
            self._check_open(device)
            origin = self._thins[device]
            steps = await self._look(lambda: device.plan_read(offset, length))
            inside = steps if origin is None else without_origin(steps)
            try:
                answer: bytes = await self._run(execute_read, inside, self._data)
            except OSError as error:
                raise io_error(error) from error
        return answer if origin is None else await fill_in(answer, steps, origin)

    async def content(self, device: ThinDevice, offset: int, length: int) -> list[tuple[int, int]]:
        """Return (offset, length) of what is not known to read as zeros: mapped, or of an external origin."""
        async with self.gate.passing(), self._lock.shared():
            self._check_open(device)
            steps = await self._look(lambda: device.plan_read(offset, length))
        found = []
        for step in steps:
            if not isinstance(step, ReadZeros):
                found.append((offset, step.length))
            offset += step.length
        return found

    async def write(self, device: ThinDevice, offset: int, data: bytes) -> None:
        """Write *data*; waits for space under queue_if_no_space, ENOSPC when none comes.

        As in the kernel each block fares for itself: one without space does not keep others from being
        written, the request ends with the first error.
        """
        async with self.gate.passing():
            if await self._mapped_write(device, offset, data):
                return
        origin = await self._copy_origin(device, offset, len(data))
        failed: DeviceMapperError | None = None
        pieces = [(offset, data)]
        while pieces:
            waiting: list[tuple[int, bytes]] = []
            for at, piece in pieces:
                async with self.gate.passing():
                    outcome = await self._remapping_write(device, at, piece, origin)
                waiting += outcome.waiting
                failed = failed or outcome.failed
            pieces = waiting
            if pieces:
                log.warning("pool is out of data space: a write waits")
                # Outside of the gate: a suspend of the pool does not wait for space (pool_presuspend).
                await self.held.wait(device)
        if failed is not None:
            raise failed

    async def discard(self, device: ThinDevice, offset: int, length: int) -> None:
        """Unmap and pass down; the two stages stand around the execution (dm-thin.c, passdown_pt1, _pt2)."""
        async with self.gate.passing(), self._changing():
            self._check_open(device)
            await self._run(discard, device, offset, length, self._data, self._clock.if_due())
            await self._run(self._clock.if_due())

    async def flush(self, device: ThinDevice) -> None:
        """Flush the data device, or commit when *device* changed in this transaction.

        In a pool without space it may wait, as a write does (see ``plan_flush``).
        """
        while True:
            try:
                await self._flush(device)
            except OutOfDataSpace:
                await self.held.wait(device)
            else:
                return

    async def resume(self, table: PoolTable, *, loaded: bool) -> None:
        """Take *table* and the devices' present sizes, then let I/O through (pool_preresume).

        The table's mode counts only when it is newly *loaded*. EINVAL: a device is too small; EIO, ENOSPC:
        the metadata can't grow. I/O is held then, except in a pool that has failed.
        """
        async with self._changing():
            try:
                await self._run(self._take_table, table, loaded)
            except DeviceMapperError:
                if self.engine.mode is not PoolMode.FAIL:
                    raise
        self.let_through()

    def let_through(self) -> None:
        """Let I/O through; the low water mark can trigger again, held writes try again (pool_resume)."""
        self.engine.resume()
        self.gate.open()
        self._tell_waiters()

    async def keep_committing(self) -> None:
        """Commit a changed pool once a period, for ever."""
        while True:
            await trio.sleep(COMMIT_PERIOD)
            if self.engine.metadata.devices_changed:
                async with self._changing():
                    await self._run(self._clock.if_due())

    async def keep_time(self) -> None:
        """Let held writes fail when no space came in time, for ever (do_no_space_timeout)."""
        while True:
            await self.held.timed_out()
            async with self._changing():
                self.engine.no_space_timeout()

    async def close(self) -> None:
        """Close both devices without a commit, once no request uses them any more."""
        with trio.CancelScope(shield=True):
            async with self._lock.alone():
                self._closed = True
                try:
                    await self._run(self.engine.metadata.transaction.close)
                except OSError as error:
                    log.error("closing the pool's metadata: %s", error)
                try:
                    self._data.close()
                finally:
                    self._metadata.close()
        self._tell_waiters()

    async def _flush(self, device: ThinDevice) -> None:
        async with self.gate.passing():
            async with self._lock.shared():
                self._check_open(device)
                steps = await self._look(device.plan_flush)
                if not any(isinstance(step, Commit) for step in steps):
                    try:
                        await self._run(self._data.flush)
                    except OSError as error:
                        raise io_error(error) from error
                    return
            await self.commit()
            self._clock.committed()

    async def _mapped_write(self, device: ThinDevice, offset: int, data: bytes) -> bool:
        """Write *data* if that changes no mapping; return whether it was written."""
        async with self._lock.shared():
            self._check_open(device)
            if await self._look(lambda: device.needs_remap(offset, len(data))):
                return False
            plan = await self._look(lambda: device.plan_write(offset, len(data)))
            try:
                await self._run(execute, plan.steps, self._data, data)
            except OSError as error:
                raise io_error(error) from error
            return True

    async def _copy_origin(self, device: ThinDevice, offset: int, length: int) -> OriginCopy | None:
        self._check_open(device)
        origin = self._thins[device]
        if origin is None:
            return None
        return await OriginCopy().fetch(origin, device.origin_ranges(offset, length))

    async def _remapping_write(
        self, device: ThinDevice, offset: int, data: bytes, origin: OriginCopy | None
    ) -> Outcome:
        async with self._changing():
            self._check_open(device)
            outcome: Outcome = await self._run(write, device, offset, data, self._data, origin)
            await self._run(self._clock.if_due())
            return outcome

    def _take_table(self, table: PoolTable, loaded: bool) -> None:
        can_discard = self._data.max_discard_bytes >= bytes_of(self.engine.block_size)
        self.engine.bind(table.features, table.low_water_blocks, can_discard, loaded=loaded)
        self.engine.grow(table.length // self.engine.block_size)
        if self.engine.metadata.transaction.uncommitted:
            with suppress(DeviceMapperError):  # it shows in the mode
                self.engine.commit()

    def _mappings(self) -> dict[int, list[Run]]:
        return {int(thin_id): self.engine.mappings(thin_id) for thin_id in self.engine.thin_ids()}

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        """Be the only one, to the end: a change that is cut short would have no owner."""
        try:
            async with self._lock.alone():
                with trio.CancelScope(shield=True):
                    yield
        finally:
            self._tell_waiters()

    async def _look(self, look: Callable[[], T]) -> T:
        return await look_up(self.engine.metadata.blocks, self._run, look)

    def _tell_waiters(self) -> None:
        """Let who waits for an event or for space look again. No checkpoint: it also runs on the way out."""
        self.held.look_again()
        self.when_changed()

    def _check_open(self, device: ThinDevice) -> None:
        if device not in self._thins:
            raise DeviceMapperError(errno.EIO, f"the device of thin {device.thin_id} was removed")
