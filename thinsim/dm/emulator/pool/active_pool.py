"""An `ActivePool` opens a pool from its table, commits when the kernel would, and closes it.

The engine (``thinsim.thin``) decides; the requests of the pool's thin devices are in :mod:`thin_requests`.
"""

import errno
import logging
from collections.abc import Callable
from contextlib import suppress

import trio

from thinsim.block.interface import BlockDevice
from thinsim.dm.emulator.lower.interface import LowerDevice
from thinsim.dm.emulator.pool.commit_clock import COMMIT_PERIOD, CommitClock
from thinsim.dm.emulator.pool.mapping_turns import MappingTurns
from thinsim.dm.emulator.pool.plane import NoPoolPlane, PoolPlane
from thinsim.dm.emulator.pool.thin_requests import ThinRequests
from thinsim.dm.emulator.runner import Runner
from thinsim.dm.metadata_device import MetadataDevice
from thinsim.errors import DeviceMapperError, KernelError
from thinsim.thin.device import ThinDevice
from thinsim.thin.mapping import Run
from thinsim.thin.messages import send_message
from thinsim.thin.modes import PoolMode
from thinsim.thin.pool import Pool
from thinsim.thin.status import ThinStatus
from thinsim.thin.table import PoolTable
from thinsim.units import Sectors, bytes_of

log = logging.getLogger(__name__)


class ActivePool:
    """An `ActivePool` is a pool with its data and metadata devices; it closes both."""

    def __init__(
        self, engine: Pool, data: BlockDevice, metadata: MetadataDevice, run: Runner, plane: PoolPlane
    ) -> None:
        self.engine = engine
        self.plane = plane
        """The plane serves requests that change no mapping, beside *requests*."""
        self._data = data
        self._metadata = metadata
        self._run = run
        self._turns = MappingTurns(engine, run, plane)
        self._clock = CommitClock(engine)
        self._closed = False
        self.requests = ThinRequests(data, run, self._turns, self._clock, self.commit, plane)
        self.held = self._turns.held
        """The writes that wait for space."""

    def call_on_change(self, when_changed: Callable[[], None]) -> None:
        """Call *when_changed* after each possible event; it must have no checkpoint."""
        self._turns.when_changed = when_changed

    async def message(self, text: str) -> None:
        """Carry out a message and commit; a failed commit shows in the mode only (pool_message)."""
        async with self._turns.changing():
            if self._closed:
                raise DeviceMapperError(errno.ENXIO, "the pool was removed")
            await self._run(send_message, self.engine, text)

    async def open_thin(self, thin_id: int, length: Sectors, origin: LowerDevice | None = None) -> ThinDevice:
        """Open *thin_id*; ENODATA if the pool does not have it. *origin* is its external origin."""
        size = None if origin is None else origin.size
        async with self._turns.alone():
            device = await self._turns.look(lambda: self.engine.open_thin(thin_id, length, size))
        self.requests.begin(device, origin)
        return device

    def close_thin(self, device: ThinDevice) -> None:
        """Close a device of :meth:`open_thin`: requests that have not begun yet end with EIO."""
        self.requests.end(device)
        self.engine.close_thin(device)

    async def thin_status(self, device: ThinDevice) -> ThinStatus:
        """Return the status of *device*."""
        async with self._turns.shared():
            return await self._turns.look(device.status)

    async def mappings(self) -> dict[int, list[Run]]:
        """Return the mappings of each device, by thin id."""
        async with self._turns.alone():
            found: dict[int, list[Run]] = await self._run(self._mappings)
            return found

    async def check(self) -> list[str]:
        """Return the problems that the checker finds in the metadata."""
        async with self._turns.alone():
            problems: list[str] = await self._run(self.engine.check)
            return problems

    async def commit(self) -> None:
        """Commit; a pool in service writes its superblock even if nothing has changed."""
        if self.engine.metadata.transaction.in_service or self.engine.changed:
            async with self._turns.changing():
                await self._run(self.engine.commit)

    async def commit_or_log(self) -> None:
        """Commit where the kernel ignores a failure: it is logged and shows in the mode (pool_status)."""
        if self.engine.mode > PoolMode.OUT_OF_DATA_SPACE:
            return
        try:
            await self.commit()
        except DeviceMapperError as error:
            log.error("commit: %s", error)

    async def resume(self, table: PoolTable, *, loaded: bool) -> None:
        """Take *table* and the devices' present sizes, then let I/O through (pool_preresume).

        The table's mode counts only if the table is newly *loaded*. EINVAL: a device is too small. EIO,
        ENOSPC: the metadata can't grow. After an error I/O stays held, except in a pool that has failed.
        """
        async with self._turns.changing():
            try:
                await self._run(self._take_table, table, loaded)
            except DeviceMapperError:
                if self.engine.mode is not PoolMode.FAIL:
                    raise
        self.let_through()

    def let_through(self) -> None:
        """Let I/O through; the low water mark can trigger again, held writes try again (pool_resume)."""
        self.engine.resume()
        self.requests.gate.open()
        self._turns.wake_waiters()

    async def keep_committing(self) -> None:
        """Commit a changed pool once per period, forever."""
        while True:
            await trio.sleep(COMMIT_PERIOD)
            if self.engine.metadata.devices_changed:
                async with self._turns.changing():
                    await self._run(self._clock.if_due())

    async def keep_time(self) -> None:
        """Let held writes fail if no space came in time, forever (do_no_space_timeout)."""
        while True:
            await self.held.timed_out()
            async with self._turns.changing():
                self.engine.no_space_timeout()

    async def close(self) -> None:
        """Close both devices without a commit, after the last request."""
        with trio.CancelScope(shield=True):
            async with self._turns.alone():
                self._closed = True
                try:
                    await self._run(self.engine.metadata.transaction.close)
                except OSError as error:
                    log.error("closing the pool's metadata: %s", error)
                self.plane.close()
                try:
                    self._data.close()
                finally:
                    self._metadata.close()
        self._turns.wake_waiters()

    def _take_table(self, table: PoolTable, loaded: bool) -> None:
        can_discard = self._data.max_discard_bytes >= bytes_of(self.engine.block_size)
        self.engine.bind(table.features, table.low_water_blocks, can_discard, loaded=loaded)
        self.engine.grow(table.length // self.engine.block_size)
        if self.engine.metadata.transaction.uncommitted:
            with suppress(DeviceMapperError):  # the mode shows the failure
                self.engine.commit()

    def _mappings(self) -> dict[int, list[Run]]:
        return {int(thin_id): self.engine.mappings(thin_id) for thin_id in self.engine.thin_ids()}


async def activate(
    table: PoolTable,
    metadata: BlockDevice,
    data: BlockDevice,
    run: Runner,
    plane_of: Callable[[Pool], PoolPlane] = lambda engine: NoPoolPlane(),
) -> ActivePool:
    """Return the pool of *table* on two open devices; metadata of zeros is formatted.

    DeviceMapperError: EINVAL and EPERM from the engine; EILSEQ for damaged metadata; EIO and ENOSPC from the
    metadata device.
    """
    store = MetadataDevice(metadata)

    def load() -> Pool:
        return Pool(
            table.features,
            table.block_size,
            None,  # the first resume grows it: until then the data device's size is not checked
            store,
            low_water_blocks=table.low_water_blocks,
            data_can_discard=data.max_discard_bytes >= bytes_of(table.block_size),
            flush_data=data.flush,
        )

    try:
        engine = await run(load)
    except KernelError as error:
        raise DeviceMapperError(error.errno, f"Error creating metadata object: {error.args[0]}") from error
    except OSError as error:
        raise DeviceMapperError(
            error.errno or errno.EIO, f"Error creating metadata object: cannot use {table.metadata_dev}"
        ) from error
    plane = await run(plane_of, engine)
    return ActivePool(engine, plane.below(data), store, run, plane)
