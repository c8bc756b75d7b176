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
from thinsim.errors import DeviceMapperError, KernelError
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
        self._space = trio.Condition()
        self._event = trio.Event()
        self._event_nr = engine.event_nr

    async def message(self, text: str) -> None:
        """Carry out a pool message and commit (dm-thin.c, pool_message)."""
        async with self._lock.alone():
            self.engine.message(text)
            await self._commit()
        await self._after_change()

    async def open_thin(self, thin_id: int, length: Sectors) -> ThinDevice:
        """Open *thin_id*; ENODATA when the pool has none."""
        return self.engine.open_thin(thin_id, length)

    async def commit(self) -> None:
        """Commit what has changed, if anything has."""
        if self.engine.changed:
            async with self._lock.alone():
                await self._commit()
            await self._after_change()

    async def read(self, device: ThinDevice, offset: int, length: int) -> bytes:
        """Return *length* bytes of *device*."""
        async with self._lock.shared():
            steps = device.plan_read(offset, length)
            try:
                answer: bytes = await self._run(execute_read, steps, self._data)
            except OSError as error:
                raise _io_error(error) from error
            return answer

    async def write(self, device: ThinDevice, offset: int, data: bytes) -> None:
        """Write *data*; waits for space under queue_if_no_space, ENOSPC when none comes."""
        async with self._lock.shared():
            if not device.needs_remap(offset, len(data)):
                plan = device.plan_write(offset, len(data))
                try:
                    await self._run(execute, plan.steps, self._data, data)
                except OSError as error:
                    raise _io_error(error) from error
                return
        with trio.move_on_after(NO_SPACE_TIMEOUT):
            while True:
                try:
                    await self._remapping_write(device, offset, data)
                    return
                except ShortOfDataSpace as short:
                    # Block by block, as the kernel: what there is space for is written.
                    await self._remapping_write(device, offset, data[: short.writable])
                    offset, data = offset + short.writable, data[short.writable :]
                    continue
                except OutOfDataSpace:
                    log.warning("pool is out of data space: a write waits")
                await self._wait_for_space()
        self.engine.modes.no_space_timeout()
        raise DeviceMapperError(errno.ENOSPC, "no data block became free in time")

    async def discard(self, device: ThinDevice, offset: int, length: int) -> None:
        """Unmap and pass down; the two stages stand around the execution (dm-thin.c, passdown_pt1, _pt2)."""
        async with self._lock.alone():
            plan = device.plan_discard(offset, length)
            try:
                with trio.CancelScope(shield=True):
                    await self._run(execute, plan.steps, self._data)
            finally:
                device.complete(plan)
        await self._after_change()

    async def flush(self, device: ThinDevice) -> None:
        """Flush the data device, or commit when *device* changed in this transaction."""
        if any(isinstance(step, Commit) for step in device.plan_flush()):
            await self.commit()
            return
        try:
            await self._run(self._data.flush)
        except OSError as error:
            raise _io_error(error) from error

    async def keep_committing(self) -> None:
        """Commit a changed pool once a period, for ever."""
        while True:
            await trio.sleep(COMMIT_PERIOD)
            try:
                await self.commit()
            except DeviceMapperError as error:
                log.warning("periodic commit: %s", error)

    async def wait_event(self, event_nr: int) -> int:
        """Return the event number once it exceeds *event_nr*."""
        while self.engine.event_nr <= event_nr:
            await self._event.wait()
        return self.engine.event_nr

    def close(self) -> None:
        """Close both devices without a commit."""
        self._data.close()
        self._metadata.close()

    async def _remapping_write(self, device: ThinDevice, offset: int, data: bytes) -> None:
        try:
            async with self._lock.alone():
                try:
                    plan = device.plan_write(offset, len(data))
                except CommitNeeded:
                    await self._commit()
                    plan = device.plan_write(offset, len(data))
                try:
                    # Not cut short: a block half copied must not stay without an owner.
                    with trio.CancelScope(shield=True):
                        await self._run(execute, plan.steps, self._data, data)
                except OSError as error:
                    device.abandon(plan)
                    raise _io_error(error) from error
                device.complete(plan)
        finally:
            await self._after_change()

    async def _commit(self) -> None:
        """Flush data, then write metadata; the caller holds the lock alone."""
        if not self.engine.changed:
            return
        # A commit under way is not cut short: it would leave the engine between two transactions.
        with trio.CancelScope(shield=True):
            image = self.engine.begin_commit()
            try:
                await self._run(self._save, image)
            except (OSError, KernelError) as error:
                await self._abort()
                raise DeviceMapperError(errno.EIO, f"commit failed: {error}") from error
            self.engine.finish_commit()

    async def _abort(self) -> None:
        """Go back to the last commit and say so on disk; a pool that can't even do that has failed."""
        image = self.engine.abort_commit()
        try:
            await self._run(self._metadata.save, image)
        except (OSError, KernelError) as error:
            log.error("cannot mark the metadata as in need of a check: %s", error)
            self.engine.fail()

    def _save(self, image: bytes) -> None:
        self._data.flush()
        self._metadata.save(image)

    async def _wait_for_space(self) -> None:
        async with self._space:
            while self.engine.mode is PoolMode.OUT_OF_DATA_SPACE:
                await self._space.wait()

    async def _after_change(self) -> None:
        if self.engine.event_nr != self._event_nr:
            self._event_nr = self.engine.event_nr
            self._event.set()
            self._event = trio.Event()
        if self.engine.mode is not PoolMode.OUT_OF_DATA_SPACE:
            async with self._space:
                self._space.notify_all()


def _io_error(error: OSError) -> DeviceMapperError:
    return DeviceMapperError(error.errno or errno.EIO, f"data device: {error.strerror or error}")
