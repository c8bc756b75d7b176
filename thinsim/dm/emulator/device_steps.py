"""The kernel's own steps on mapped devices: make, load, swap, suspend, resume, rename, remove.

One implementation for two settings: in process without nodes, and in the daemon, where each device
has a loop device and ``/dev/mapper/NAME``. Facts: drivers/md/dm-ioctl.c, dm.c.
"""

import errno
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

import trio

from thinsim.dm.activity import ActivityLog
from thinsim.dm.emulator.devices import Devices
from thinsim.dm.emulator.lower.lower_devices import LowerDevices, OpenBlock
from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.dm.emulator.nodes import Nodes
from thinsim.dm.emulator.pool.held_writes import NO_SPACE_TIMEOUT
from thinsim.dm.emulator.pool.pool_objects import PoolObjects, pool_objects
from thinsim.dm.emulator.runner import Runner
from thinsim.dm.emulator.table_builder import TableBuilder
from thinsim.dm.emulator.targets.registry import TARGET_TYPES
from thinsim.dm.emulator.targets.target_type import TargetServices, TargetType
from thinsim.dm.interface import DeviceInfo
from thinsim.dm.names import check_name
from thinsim.dm.text import TableLine
from thinsim.dm.write_trace import WriteTrace
from thinsim.errors import DeviceMapperError, KernelError

log = logging.getLogger(__name__)


class DeviceSteps:
    """What dm-ioctl.c does to a device that was found; who asks by name takes LocalDeviceMapper.

    *open_origin* opens an external origin, to be read only; without it *open_block* does. *target_types* are
    those that tables may name.
    """

    def __init__(
        self,
        nodes: Nodes,
        open_block: OpenBlock,
        run: Runner,
        open_origin: OpenBlock | None = None,
        *,
        target_types: Sequence[TargetType] = TARGET_TYPES,
    ) -> None:
        self.devices = Devices(run)
        self.target_types = tuple(target_types)
        self.trace = WriteTrace()
        self.activity = ActivityLog()
        self.when_changed: Callable[[], None] = lambda: None
        """Called after a device was made, changed or removed."""
        self.no_space_timeout = NO_SPACE_TIMEOUT
        """Seconds that writes wait for space, 0 for ever; looked at when a pool runs out of it."""
        self._nodes = nodes
        self._run = run
        self._lower = LowerDevices(self.devices.own, open_block, run, open_origin or open_block)
        self._nursery: trio.Nursery | None = None
        self._pools: PoolObjects | None = None
        self._tables: TableBuilder | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Serve; on the way out every device is removed, pools commit."""
        async with AsyncExitStack() as stack:
            self._nursery = await stack.enter_async_context(trio.open_nursery())
            self._pools = await stack.enter_async_context(
                pool_objects(self._run, lambda: self.no_space_timeout)
            )
            services = TargetServices(self._lower, self._pools, self.trace, self.activity)
            self._tables = TableBuilder(self.target_types, services)
            try:
                yield self
            finally:
                with trio.CancelScope(shield=True):
                    await self.close()
                self._nursery.cancel_scope.cancel()

    async def add(self, name: str, uuid: str = "", *, minor: int | None = None) -> MappedDevice:
        """Make a device without a table; EBUSY for a name or uuid that is taken, ENXIO for a *minor*."""
        check_name(name)
        device = MappedDevice(name, uuid)
        self.devices.add(device)
        try:
            device.number = await self._nodes.attach(name, device, minor)
        except BaseException as error:
            self.devices.drop(device)
            if isinstance(error, OSError):
                raise _refused(error, f"cannot make the node of {name}") from error
            raise
        device.when_unused = self._when_unused
        self.when_changed()
        return device

    async def load_lines(
        self, device: MappedDevice, lines: Sequence[TableLine], *, read_only: bool = False
    ) -> None:
        """Build a table into the inactive slot; what was there goes (table_load)."""
        assert self._tables is not None, "verbs are called inside running()"
        table = await self._tables.build(device, lines, read_only=read_only)
        if table.shown_pool is not None:
            table.shown_pool.active.call_on_change(device.tell)
        immutable = device.live.immutable_type if device.live is not None else None
        if immutable is not None and not table.may_replace(immutable):
            await table.close()
            raise DeviceMapperError(errno.EINVAL, f"can't replace immutable target type {immutable.name}")
        async with self.devices.holding(device):
            if not device.has_type:
                # Limits are calculated with the first table, and then whenever one goes live (table_load).
                try:
                    await table.check_limits()
                except DeviceMapperError:
                    await table.close()
                    raise
                device.has_type = True
            replaced, device.inactive = device.inactive, table
        if replaced is not None:
            await replaced.close()

    async def clear(self, device: MappedDevice) -> None:
        """Drop the inactive table (table_clear)."""
        async with self.devices.holding(device):
            dropped, device.inactive = device.inactive, None
        if dropped is not None:
            await dropped.close()

    async def suspend_device(self, device: MappedDevice, *, lock_fs: bool, noflush: bool = False) -> None:
        """Hold I/O; no error when it is held already. *noflush* does not wait for what waits for space."""
        if not device.suspended:
            await device.awake()
        async with self.devices.holding(device):
            if not device.suspended:
                hold_fs = lock_fs and device.live is not None
                await self._hold(device, lock_fs=hold_fs, noflush=noflush)
                self.when_changed()

    async def resume_device(
        self, device: MappedDevice, *, lock_fs: bool = True, noflush: bool = False
    ) -> None:
        """Swap a loaded table in and let I/O through (do_resume); an error leaves the device suspended.

        A device that isn't suspended is for the swap, as *lock_fs* and *noflush* say.
        """
        if device.suspended or device.inactive is not None:
            await device.awake()
        async with self.devices.holding(device):
            old = None
            if device.inactive is not None:
                if not device.suspended:
                    # Of a table that was never live nothing has to be flushed.
                    await self._hold(device, lock_fs=lock_fs and device.live is not None, noflush=noflush)
                old = await device.swap()
            elif device.suspended and device.live is None:
                raise DeviceMapperError(errno.EINVAL, f"{device.name} has no table to resume")
            try:
                if device.suspended:
                    await device.let_go()
                    await self._nodes.refresh(device.name)
                    await self._thaw(device)
            finally:
                if old is not None:
                    await old.close()
                self.when_changed()

    async def remove_device(self, device: MappedDevice, *, deferred: bool = False) -> None:
        """Remove; EBUSY while open, unless *deferred*: then at the last close (dev_remove)."""
        async with self.devices.holding(device):
            if device.users or await self._nodes.is_open(device.name):
                # What is open stays as it is, suspended or not (dm.c, dm_lock_for_deletion).
                if not deferred:
                    raise DeviceMapperError(errno.EBUSY, f"device {device.name} is open")
                device.deferred_remove = True
                if device.users:
                    return
            await self._take_away(device, deferred=deferred)

    async def rename(self, device: MappedDevice, name: str) -> None:
        """Give a new name; EBUSY when it is taken (dm_hash_rename)."""
        check_name(name)
        async with self.devices.holding(device):
            self.devices.check_free(name)
            await self._nodes.rename(device.name, name)
            self.devices.rename(device, name)
            device.tell(events=int(device.live is not None))
            self.when_changed()

    async def status_lines(self, device: MappedDevice, *, noflush: bool = False) -> Sequence[TableLine]:
        """Return start, length, type, status of each live target."""
        if device.live is None:
            return []
        flush = not noflush and not device.suspended
        return await device.live.status_lines(flush=flush)

    async def info_of(self, device: MappedDevice) -> DeviceInfo:
        """Return what is known of a device."""
        return device.info(is_open=await self._nodes.is_open(device.name))

    async def gone(self, name: str) -> None:
        """The node of a device whose removal was deferred is gone: finish the removal."""
        device = self.devices.get(name)
        if device is None:
            return
        async with device.lock:
            if device.deferred_remove and self.devices.get(name) is device and not device.users:
                await self._forget(device)

    async def close(self) -> None:
        """Remove every device, users before what they use; pools commit. Idempotent.

        Nothing stops it: what goes wrong is logged, and the rest is closed all the same.
        """
        for device in list(self.devices.values()):
            device.gate.open()  # a commit of the pool above a suspended device passes there
        # Also the pool whose device has another table by now (dmsetup remove --force): its thins wait for it.
        for pool in self._pools.all() if self._pools is not None else ():
            pool.active.let_through()  # a verb under way may wait for it
            pool.suspended = False
        while self.devices:
            device = min(self.devices.values(), key=lambda each: each.users)
            async with device.lock:
                if self.devices.get(device.name) is device:
                    await self._close_one(device)

    async def _close_one(self, device: MappedDevice) -> None:
        try:
            await self._take_away(device, deferred=True)
        except (KernelError, OSError) as error:
            log.error("closing %s: %s", device.name, error)
        if self.devices.get(device.name) is device:
            await self._forget(device)

    async def _hold(self, device: MappedDevice, *, lock_fs: bool, noflush: bool = False) -> None:
        async def freeze() -> None:
            await self._nodes.freeze(device.name)

        try:
            await device.hold(freeze if lock_fs else None, noflush=noflush)
        except BaseException:
            await self._thaw(device)
            raise

    async def _thaw(self, device: MappedDevice) -> None:
        if device.frozen:
            device.frozen = False
            # Nobody else will thaw it.
            with trio.CancelScope(shield=True):
                await self._nodes.thaw(device.name)

    async def _take_away(self, device: MappedDevice, *, deferred: bool) -> None:
        """Detach the node and forget the device; what waits for a suspended device gets through first."""
        if device.suspended and not device.users:
            with trio.CancelScope(shield=True):
                await self._resume_for_removal(device)
        try:
            # A removal that was deferred before stays so: detaching at once would take that back.
            gone = await self._nodes.detach(device.name, deferred=deferred or device.deferred_remove)
        except (OSError, KernelError) as error:
            raise _refused(error, f"cannot remove {device.name}") from error
        if gone:
            with trio.CancelScope(shield=True):
                await self._forget(device)
            return
        device.deferred_remove = True
        if not deferred:
            raise DeviceMapperError(errno.EBUSY, f"device {device.name} is open")

    async def _resume_for_removal(self, device: MappedDevice) -> None:
        try:
            await device.let_go()
        except KernelError as error:
            log.warning("resuming %s for its removal: %s", device.name, error)
        await self._thaw(device)

    async def _forget(self, device: MappedDevice) -> None:
        self.devices.drop(device)
        self.when_changed()
        pool = device.live.shown_pool if device.live is not None else None
        if pool is not None:
            await pool.active.commit_or_log()
        await device.kill()

    def _when_unused(self, device: MappedDevice) -> None:
        """The last target that used *device* is gone: a removal that waited for it goes on."""
        if device.deferred_remove and self._nursery is not None:
            self._nursery.start_soon(self._remove_unused, device)

    async def _remove_unused(self, device: MappedDevice) -> None:
        try:
            await self.remove_device(device, deferred=True)
        except KernelError as error:
            log.warning("deferred removal of %s: %s", device.name, error)


def _refused(error: OSError | KernelError, text: str) -> DeviceMapperError:
    return DeviceMapperError(error.errno or errno.EIO, f"{text}: {error}")
