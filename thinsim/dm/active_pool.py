"""A pool in service: the engine, the two devices below it, and the order in which they are used.

The engine (``thinsim.thin``) decides, the executor acts; this module keeps what must not overlap
apart, commits when the kernel would, and turns device errors into the errno a bio ends with.
"""

import errno
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import trio

from thinsim.block.interface import BlockDevice
from thinsim.dm.executor import execute, execute_read
from thinsim.dm.gate import Gate
from thinsim.dm.metadata_device import MetadataDevice
from thinsim.dm.remap_lock import RemapLock
from thinsim.errors import DeviceMapperError
from thinsim.thin.device import CommitNeeded, OutOfDataSpace, ShortOfDataSpace, ThinDevice
from thinsim.thin.modes import PoolMode
from thinsim.thin.plan import Commit
from thinsim.thin.pool import Pool
from thinsim.units import Sectors

log = logging.getLogger(__name__)

COMMIT_PERIOD = 1.0
"""Seconds between the commits of a changed pool (dm-thin.c, COMMIT_PERIOD)."""

NO_SPACE_TIMEOUT = 60.0
"""Seconds that a write waits for space under queue_if_no_space (dm-thin.c, no_space_timeout)."""


class Runner(Protocol):
    """Runs blocking I/O: on a worker thread, or in place."""

    def __call__(self, function: Callable[..., Any], /, *arguments: Any) -> Awaitable[Any]:
        """Return what ``function(*arguments)`` returns."""


async def in_place(function: Callable[..., Any], /, *arguments: Any) -> Any:
    """Run blocking I/O right here: for backings that can't wait on this process."""
    await trio.lowlevel.checkpoint()
    return function(*arguments)


async def on_thread(function: Callable[..., Any], /, *arguments: Any) -> Any:
    """Run blocking I/O on a worker thread, so that the event loop stays free."""
    return await trio.to_thread.run_sync(function, *arguments)


class ActivePool:
    """One pool with its data and metadata devices; closes both."""

    def __init__(self, engine: Pool, data: BlockDevice, metadata: MetadataDevice, run: Runner) -> None:
        self.engine = engine
        self.gate = Gate()
        self._data = data
        self._metadata = metadata
        self._run = run
        self._lock = RemapLock()
        self._changed = trio.lowlevel.ParkingLot()
        self._thins: set[ThinDevice] = set()
        self._closed = False

    async def message(self, text: str) -> None:
        """Carry out a message and commit; a failing commit shows in the mode only (pool_message)."""
        try:
            async with self._lock.alone():
                if self._closed:
                    raise DeviceMapperError(errno.ENXIO, "the pool was removed")
                self.engine.message(text)
                try:
                    await self._commit()
                except DeviceMapperError as error:
                    log.error("after message %r: %s", text, error)
        finally:
            self._tell_waiters()

    def open_thin(self, thin_id: int, length: Sectors) -> ThinDevice:
        """Open *thin_id*; ENODATA when the pool has none."""
        device = self.engine.open_thin(thin_id, length)
        self._thins.add(device)
        return device

    def close_thin(self, device: ThinDevice) -> None:
        """Close what :meth:`open_thin` gave: requests that have not begun by now end with EIO."""
        self._thins.remove(device)
        self.engine.close_thin(device)

    async def commit(self) -> None:
        """Commit what has changed, if anything has."""
        if not self.engine.changed:
            return
        try:
            async with self._lock.alone():
                await self._commit()
        finally:
            self._tell_waiters()

    async def commit_or_log(self) -> None:
        """Commit where the kernel does not care whether it works: the mode shows it (pool_status)."""
        try:
            await self.commit()
        except DeviceMapperError as error:
            log.error("commit: %s", error)

    async def read(self, device: ThinDevice, offset: int, length: int) -> bytes:
        """Return *length* bytes of *device*."""
        async with self.gate.passing(), self._lock.shared():
            self._check_open(device)
            steps = device.plan_read(offset, length)
            try:
                answer: bytes = await self._run(execute_read, steps, self._data)
            except OSError as error:
                raise _io_error(error) from error
            return answer

    async def write(self, device: ThinDevice, offset: int, data: bytes) -> None:
        """Write *data*; waits for space under queue_if_no_space, ENOSPC when none comes."""
        async with self.gate.passing():
            if await self._mapped_write(device, offset, data):
                return
        piece = len(data)
        while data:
            try:
                async with self.gate.passing():
                    await self._remapping_write(device, offset, data[:piece])
            except ShortOfDataSpace as short:
                # Block by block, as the kernel: what there is space for is written.
                piece = short.writable
            except OutOfDataSpace:
                log.warning("pool is out of data space: a write waits")
                # Outside of the gate: a suspend of the pool does not wait for space (pool_presuspend).
                await self._wait_for_space()
                piece = len(data)
            else:
                offset, data = offset + piece, data[piece:]
                piece = len(data)

    async def discard(self, device: ThinDevice, offset: int, length: int) -> None:
        """Unmap and pass down; the two stages stand around the execution (dm-thin.c, passdown_pt1, _pt2)."""
        try:
            async with self.gate.passing(), self._lock.alone():
                self._check_open(device)
                plan = device.plan_discard(offset, length)
                try:
                    with trio.CancelScope(shield=True):
                        await self._run(execute, plan.steps, self._data)
                finally:
                    device.complete(plan)
        finally:
            self._tell_waiters()

    async def flush(self, device: ThinDevice) -> None:
        """Flush the data device, or commit when *device* changed in this transaction."""
        async with self.gate.passing():
            if any(isinstance(step, Commit) for step in device.plan_flush()):
                await self.commit()
                return
            async with self._lock.shared():
                self._check_open(device)
                try:
                    await self._run(self._data.flush)
                except OSError as error:
                    raise _io_error(error) from error

    def resume(self) -> None:
        """Let I/O through; the low water mark can trigger again, held writes try again (pool_resume)."""
        self.engine.resume()
        self.gate.open()
        self._tell_waiters()

    async def keep_committing(self) -> None:
        """Commit a changed pool once a period, for ever."""
        while True:
            await trio.sleep(COMMIT_PERIOD)
            try:
                await self.commit()
            except DeviceMapperError as error:
                log.warning("periodic commit: %s", error)

    async def wait_event(self, event_nr: int) -> int:
        """Return the event number once it exceeds *event_nr*; the pool's removal is an event, too."""
        while self.engine.event_nr + self._closed <= event_nr and not self._closed:
            await self._changed.park()
        return self.engine.event_nr + self._closed

    async def close(self) -> None:
        """Close both devices without a commit, once no request uses them any more."""
        with trio.CancelScope(shield=True):
            async with self._lock.alone():
                self._closed = True
                try:
                    self._data.close()
                finally:
                    self._metadata.close()
        self._tell_waiters()

    async def _mapped_write(self, device: ThinDevice, offset: int, data: bytes) -> bool:
        """Write *data* if that changes no mapping; return whether it was written."""
        async with self._lock.shared():
            self._check_open(device)
            if device.needs_remap(offset, len(data)):
                return False
            plan = device.plan_write(offset, len(data))
            try:
                await self._run(execute, plan.steps, self._data, data)
            except OSError as error:
                raise _io_error(error) from error
            return True

    async def _remapping_write(self, device: ThinDevice, offset: int, data: bytes) -> None:
        try:
            async with self._lock.alone():
                self._check_open(device)
                try:
                    plan = device.plan_write(offset, len(data))
                except CommitNeeded:
                    await self._commit()
                    plan = device.plan_write(offset, len(data))
                try:
                    # Not cut short: a block half copied must not stay without an owner.
                    with trio.CancelScope(shield=True):
                        await self._run(execute, plan.steps, self._data, data)
                except BaseException as error:
                    device.abandon(plan)
                    if isinstance(error, OSError):
                        raise _io_error(error) from error
                    raise
                device.complete(plan)
        finally:
            self._tell_waiters()

    async def _commit(self) -> None:
        """Flush data, then write metadata; the caller holds the lock alone."""
        if not self.engine.changed:
            return
        # A commit under way is not cut short: it would leave the engine between two transactions.
        with trio.CancelScope(shield=True):
            image = self.engine.begin_commit()
            try:
                await self._run(self._save, image)
            except Exception as error:
                await self._abort()
                raise DeviceMapperError(errno.EIO, f"commit failed: {error}") from error
            self.engine.finish_commit()

    async def _abort(self) -> None:
        """Go back to the last commit and say so on disk; a pool that can't even do that has failed."""
        image = self.engine.abort_commit()
        try:
            await self._run(self._metadata.save, image)
        except Exception as error:
            log.error("cannot mark the metadata as in need of a check: %s", error)
            self.engine.fail()

    def _save(self, image: bytes) -> None:
        self._data.flush()
        self._metadata.save(image)

    async def _wait_for_space(self) -> None:
        """Return when a write may try again: there is space, or waiting is over for all writes."""
        with trio.move_on_after(NO_SPACE_TIMEOUT):
            while self.engine.mode is PoolMode.OUT_OF_DATA_SPACE and not self.engine.modes.error_if_no_space:
                await self._changed.park()
            return
        self.engine.no_space_timeout()
        self._tell_waiters()

    def _tell_waiters(self) -> None:
        """Let who waits for an event or for space look again. No checkpoint: it also runs on the way out."""
        self._changed.unpark_all()

    def _check_open(self, device: ThinDevice) -> None:
        if device not in self._thins:
            raise DeviceMapperError(errno.EIO, f"the device of thin {device.thin_id} was removed")


def _io_error(error: OSError) -> DeviceMapperError:
    return DeviceMapperError(error.errno or errno.EIO, f"data device: {error.strerror or error}")
