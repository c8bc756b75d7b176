"""`DeviceSteps` takes the kernel's steps on mapped devices: create, load, swap, suspend, resume, remove.

The same code serves a process without nodes, and the daemon, where each device has a loop device and
``/dev/mapper/NAME``. Sources: drivers/md/dm-ioctl.c, dm.c.
"""

import errno
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

import trio

from thinsim.dm.activity import ActivityLog
from thinsim.dm.emulator.device_removal import DeviceRemoval
from thinsim.dm.emulator.devices import Devices
from thinsim.dm.emulator.lower.lower_devices import LowerDevices, OpenBlock
from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.dm.emulator.nodes import Nodes, node_refusal, thaw_device
from thinsim.dm.emulator.pool.held_writes import NO_SPACE_TIMEOUT
from thinsim.dm.emulator.pool.plane import NoPlane, Plane
from thinsim.dm.emulator.pool.pool_objects import PoolObjects, pool_objects
from thinsim.dm.emulator.runner import Runner
from thinsim.dm.emulator.table_builder import TableBuilder
from thinsim.dm.emulator.targets.registry import TARGET_TYPES
from thinsim.dm.emulator.targets.target_type import TargetServices, TargetType
from thinsim.dm.interface import DeviceInfo
from thinsim.dm.names import check_name
from thinsim.dm.text import TableLine
from thinsim.dm.write_trace import WriteTrace
from thinsim.errors import DeviceMapperError

log = logging.getLogger(__name__)


class DeviceSteps:
    """`DeviceSteps` does what dm-ioctl.c does to a device that was found; `LocalDeviceMapper` takes names.

    *open_origin* opens an external origin read-only; without it *open_block* does. Tables may name the
    *target_types*. *plane* serves requests of thin devices without Python.
    """

    def __init__(
        self,
        nodes: Nodes,
        open_block: OpenBlock,
        run: Runner,
        open_origin: OpenBlock | None = None,
        *,
        target_types: Sequence[TargetType] = TARGET_TYPES,
        plane: Plane | None = None,
    ) -> None:
        self.devices = Devices(run)
        self.target_types = tuple(target_types)
        self.trace = WriteTrace()
        self.activity = ActivityLog()
        self.when_changed: Callable[[], None] = lambda: None
        """This is called after a device was created, changed or removed."""
        self.no_space_timeout = NO_SPACE_TIMEOUT
        """Seconds that writes wait for space, 0 for no limit; read when a pool runs out of space."""
        self._nodes = nodes
        self._run = run
        self.plane = plane or NoPlane()
        """The plane serves requests of thin devices without Python."""
        self._lower = LowerDevices(self.devices.own, open_block, run, open_origin or open_block)
        self._removal = DeviceRemoval(self.devices, nodes, self._changed)
        self._pools: PoolObjects | None = None
        self._tables: TableBuilder | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Serve until the block ends, then remove every device; pools commit."""
        async with AsyncExitStack() as stack:
            nursery = await stack.enter_async_context(trio.open_nursery())
            self._removal.serve(nursery)
            self._pools = await stack.enter_async_context(
                pool_objects(self._run, lambda: self.no_space_timeout, self.plane, self.trace)
            )
            services = TargetServices(self._lower, self._pools, self.trace, self.activity)
            self._tables = TableBuilder(self.target_types, services)
            try:
                yield self
            finally:
                with trio.CancelScope(shield=True):
                    await self.close()
                nursery.cancel_scope.cancel()

    async def add(self, name: str, uuid: str = "", *, minor: int | None = None) -> MappedDevice:
        """Create a device without a table; EBUSY if the name or uuid is taken, ENXIO if *minor* is."""
        check_name(name)
        device = MappedDevice(name, uuid)
        self.devices.add(device)
        try:
            device.number = await self._nodes.attach(name, device, minor)
        except BaseException as error:
            self.devices.drop(device)
            if isinstance(error, OSError):
                raise node_refusal(error, f"cannot make the node of {name}") from error
            raise
        device.when_unused = self._removal.when_unused
        self.when_changed()
        return device

    async def load_lines(
        self, device: MappedDevice, lines: Sequence[TableLine], *, read_only: bool = False
    ) -> None:
        """Build a table into the inactive slot and drop the one that was there (table_load)."""
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
        """Hold I/O, unless it is held already. *noflush* does not wait for requests that wait for space."""
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
        """Swap in a loaded table and let I/O through (do_resume); an error leaves the device suspended.

        A running device is suspended for the swap, with *lock_fs* and *noflush*.
        """
        if device.suspended or device.inactive is not None:
            await device.awake()
        async with self.devices.holding(device):
            old = None
            if device.inactive is not None:
                if not device.suspended:
                    # A device without a live table has nothing to flush.
                    await self._hold(device, lock_fs=lock_fs and device.live is not None, noflush=noflush)
                old = await device.swap()
            elif device.suspended and device.live is None:
                raise DeviceMapperError(errno.EINVAL, f"{device.name} has no table to resume")
            try:
                if device.suspended:
                    await device.let_go()
                    await self._nodes.refresh(device.name)
                    await thaw_device(self._nodes, device)
            finally:
                if old is not None:
                    await old.close()
                self.when_changed()

    async def remove_device(self, device: MappedDevice, *, deferred: bool = False) -> None:
        """Remove *device*; EBUSY while it is open (dev_remove).

        If *deferred*, an open device is removed at its last close instead.
        """
        await self._removal.remove(device, deferred=deferred)

    async def gone(self, name: str) -> None:
        """Finish the deferred removal of a device whose node is gone."""
        await self._removal.gone(name)

    async def rename(self, device: MappedDevice, name: str) -> None:
        """Rename a device; EBUSY if the name is taken (dm_hash_rename)."""
        check_name(name)
        async with self.devices.holding(device):
            self.devices.check_free(name)
            await self._nodes.rename(device.name, name)
            self.devices.rename(device, name)
            device.tell(events=int(device.live is not None))
            self.when_changed()

    async def status_lines(self, device: MappedDevice, *, noflush: bool = False) -> Sequence[TableLine]:
        """Return start, length, type and status of each live target."""
        if device.live is None:
            return []
        flush = not noflush and not device.suspended
        return await device.live.status_lines(flush=flush)

    async def info_of(self, device: MappedDevice) -> DeviceInfo:
        """Return the `DeviceInfo` of a device."""
        return device.info(is_open=await self._nodes.is_open(device.name))

    async def close(self) -> None:
        """Remove every device, users before the devices they use; pools commit. Idempotent.

        An error is logged and does not stop the removal of the rest.
        """
        for device in list(self.devices.values()):
            device.gate.open()  # lets a pool above a suspended device commit
        # Include a pool whose device has another table now (dmsetup remove --force): its thins wait for it.
        for pool in self._pools.all() if self._pools is not None else ():
            pool.active.let_through()  # a verb in progress may wait for it
            pool.suspended = False
        await self._removal.remove_all()

    def _changed(self) -> None:
        self.when_changed()

    async def _hold(self, device: MappedDevice, *, lock_fs: bool, noflush: bool = False) -> None:
        async def freeze() -> None:
            await self._nodes.freeze(device.name)

        try:
            await device.hold(freeze if lock_fs else None, noflush=noflush)
        except BaseException:
            await thaw_device(self._nodes, device)
            raise
