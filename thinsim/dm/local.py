"""The verbs of device-mapper on pools and thin devices that this process holds.

One implementation for two settings: in process without nodes, and in the daemon, where each thin
device has a loop device and ``/dev/mapper/NAME``. Facts: drivers/md/dm-ioctl.c, dm-thin.c.
"""

import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import trio

from thinsim.block.interface import BlockDevice
from thinsim.dm.activation import OpenBlock, activate, open_device
from thinsim.dm.active_pool import ActivePool
from thinsim.dm.devices import DeviceRecord, Devices, bare_name
from thinsim.dm.interface import DeviceInfo
from thinsim.dm.names import check_name
from thinsim.dm.nodes import MAPPER, Nodes, device_number
from thinsim.dm.runner import Runner
from thinsim.dm.thin_volume import ThinVolume
from thinsim.dm.write_trace import WriteTrace
from thinsim.errors import DeviceMapperError, KernelError
from thinsim.thin.table import (
    POOL_TARGET,
    PoolTable,
    ThinTable,
    parse_pool_table,
    parse_thin_table,
    target_type,
)
from thinsim.units import bytes_of

log = logging.getLogger(__name__)


class LocalDeviceMapper:
    """A DeviceMapper over pools in this process. Use as ``async with LocalDeviceMapper(...) as dm``.

    *open_origin* opens an external origin, to be read only; without it *open_block* does.
    """

    def __init__(
        self, nodes: Nodes, open_block: OpenBlock, run: Runner, open_origin: OpenBlock | None = None
    ) -> None:
        self._nodes = nodes
        self._open_block = open_block
        self._open_origin = open_origin or open_block
        self._run = run
        self._devices = Devices()
        self.trace = WriteTrace()
        # Names are given out one at a time. Other verbs exclude each other on one device only: a suspend may
        # wait long, for space or for its suspended pool, and what ends the wait is a verb on another device.
        self._creating = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self._committers: dict[str, trio.CancelScope] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator["LocalDeviceMapper"]:
        """Serve; on the way out every device is removed, pools commit."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                yield self
            finally:
                with trio.CancelScope(shield=True):
                    await self.close()
                nursery.cancel_scope.cancel()

    async def create(self, name: str, table: str, *, uuid: str = "", readonly: bool = False) -> None:
        """Create, load and resume in one step. *readonly* is EOPNOTSUPP: not served in this version."""
        if readonly:
            raise DeviceMapperError(errno.EOPNOTSUPP, f"device {name}: a read-only device is not served yet")
        async with self._creating:
            check_name(name)
            if name in self._devices:
                raise DeviceMapperError(errno.EBUSY, f"device {name} exists already")
            kind = target_type(table)
            if kind == "thin-pool":
                self._devices[name] = await self._create_pool(name, uuid, parse_pool_table(table))
            elif kind == "thin":
                self._devices[name] = await self._create_thin(name, uuid, parse_thin_table(table))
            else:
                raise DeviceMapperError(
                    errno.EINVAL, f"unknown target type {kind!r} (served here: thin-pool, thin)"
                )

    async def load(self, name: str, table: str) -> None:
        """Load a pool's *table* into the inactive slot; a thin device's can't be replaced here (EOPNOTSUPP).

        EBUSY, EINVAL as pool_ctr: another device's pool, other devices, discards switched on or off. The
        block size is validated and ignored.
        """
        async with self._devices.holding(name) as device:
            if not isinstance(device.table, PoolTable):
                raise DeviceMapperError(
                    errno.EOPNOTSUPP, f"loading another table into {name} is not served yet"
                )
            if target_type(table) != POOL_TARGET:
                raise DeviceMapperError(errno.EINVAL, f"can't replace immutable target type {POOL_TARGET}")
            new, live = parse_pool_table(table), device.table
            self._check_unused(new, device)
            if new.metadata_dev != live.metadata_dev:
                raise DeviceMapperError(errno.EINVAL, "different pool cannot replace a pool")
            if new.data_dev != live.data_dev:
                raise DeviceMapperError(errno.EBUSY, "data device already in use by a pool")
            if new.features.ignore_discard != live.features.ignore_discard:
                raise DeviceMapperError(errno.EINVAL, "Discard support cannot be disabled once enabled")
            device.inactive = replace(new, block_size=live.block_size)

    async def suspend(self, name: str, *, noflush: bool = False, nolockfs: bool = False) -> None:
        """Hold I/O; freezes first unless *nolockfs* or *noflush*."""
        async with self._devices.holding(name) as device:
            if device.suspended:
                return
            if device.volume is None:
                await self._suspend_pool(device)
                return
            if not (nolockfs or noflush):
                await self._nodes.freeze(device.name)
                device.frozen = True
            try:
                await device.volume.gate.close()
            except BaseException:
                await self._thaw(device)
                raise
            device.suspended = True

    async def resume(self, name: str) -> None:
        """Make a loaded table live, let I/O through and thaw."""
        async with self._devices.holding(name) as device:
            await self._resume(device)

    async def remove(
        self, name: str, *, deferred: bool = False, force: bool = False, retry: bool = False
    ) -> None:
        """Remove; a pool with active thin devices is EBUSY. *force* and *retry* change nothing here."""
        async with self._devices.holding(name) as device:
            if device.is_pool:
                await self._remove_pool(device)
                return
            # What is open stays as it is, suspended or not (dm.c, dm_lock_for_deletion).
            if not await self._nodes.is_open(device.name):
                await self._resume(device)
            elif not deferred:
                raise DeviceMapperError(errno.EBUSY, f"device {device.name} is open")
            await self._remove_thin(device, deferred=deferred)

    async def message(self, name: str, sector: int, text: str) -> None:
        """Send a pool message; a thin target takes none (EINVAL)."""
        device = self._devices.find(name)
        if not device.is_pool:
            raise DeviceMapperError(errno.EINVAL, f"{name}: a thin target takes no messages")
        if not 0 <= sector < device.table.length:
            raise DeviceMapperError(errno.EINVAL, f"{name} has no sector {sector}")
        await device.pool.message(text)

    async def status(self, name: str, *, noflush: bool = False) -> str:
        """Return the status line; a pool that isn't suspended commits first unless *noflush*."""
        device = self._devices.find(name)
        if device.volume is not None:
            status = await device.pool.thin_status(device.volume.device)
            return status.text(0, device.table.length)
        if not noflush and not device.suspended:
            await _commit_or_log(device)
        return device.pool.engine.status().text(0, device.table.length)

    async def table(self, name: str) -> str:
        """Return the table line, devices as major:minor."""
        device = self._devices.find(name)
        if isinstance(device.table, PoolTable):
            return device.table.text(
                device_number(device.table.metadata_dev), device_number(device.table.data_dev)
            )
        major, minor = self._devices.find(device.table.pool_dev).number
        origin = device.table.origin_dev
        return device.table.text(f"{major}:{minor}", None if origin is None else device_number(origin))

    async def info(self, name: str) -> DeviceInfo:
        """Return what is known of *name*."""
        device = self._devices.find(name)
        opened = device.users if device.is_pool else int(await self._nodes.is_open(device.name))
        return DeviceInfo(
            name=device.name,
            major=device.number[0],
            minor=device.number[1],
            open_count=opened,
            suspended=device.suspended,
            live_table=True,
            inactive_table=device.inactive is not None,
            event_nr=device.pool.engine.event_nr if device.is_pool else 0,
            deferred_remove=device.deferred_remove,
            uuid=device.uuid,
        )

    async def list(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._devices)

    async def wait(self, name: str, event_nr: int) -> int:
        """Wait for an event; the only one of a thin device is its removal (dm-ioctl.c, dm_hash_remove)."""
        device = self._devices.find(name)
        if device.is_pool:
            return await device.pool.wait_event(event_nr)
        if event_nr >= 0:
            await device.removed.wait()
        return int(device.removed.is_set())

    def path(self, name: str) -> Path:
        """Return ``/dev/mapper/NAME``."""
        return MAPPER / name

    def volume(self, name: str) -> ThinVolume:
        """Return the volume of an active thin device; ENXIO for none."""
        volume = self._devices.find(name).volume
        if volume is None:
            raise DeviceMapperError(errno.ENXIO, f"{name} is a pool, not a thin device")
        return volume

    def pool(self, name: str) -> ActivePool:
        """Return the pool behind a device."""
        return self._devices.find(name).pool

    async def gone(self, name: str) -> None:
        """The node of a device whose removal was deferred is gone: finish the removal."""
        device = self._devices.get(name)
        if device is None:
            return
        async with device.lock:
            if device.deferred_remove and self._devices.get(name) is device:
                self._forget_thin(device)

    async def close(self) -> None:
        """Remove every device, thin devices first; the last commit of each pool is made. Idempotent.

        Nothing stops it: what goes wrong is logged, and the rest is closed all the same.
        """
        for device in list(self._devices.values()):
            if device.is_pool:
                device.pool.let_through()  # a verb under way may wait for it
        for device in sorted(self._devices.values(), key=lambda each: each.is_pool):
            async with device.lock:
                if self._devices.get(device.name) is device:
                    await self._close_one(device)

    async def _close_one(self, device: DeviceRecord) -> None:
        if device.is_pool:
            await self._remove_pool(device)
            return
        try:
            await self._resume(device)
            await self._remove_thin(device, deferred=True)
        except (KernelError, OSError) as error:
            log.error("closing %s: %s", device.name, error)
        if device.name in self._devices:
            self._forget_thin(device)

    async def _create_pool(self, name: str, uuid: str, table: PoolTable) -> DeviceRecord:
        self._check_unused(table, None)
        pool = await activate(table, self._open_block, self._run)
        assert self._nursery is not None, "verbs are called inside running()"
        scope = trio.CancelScope()
        self._committers[name] = scope
        self._nursery.start_soon(_keep_committing, pool, scope)
        return DeviceRecord(name, uuid, table, pool)

    async def _create_thin(self, name: str, uuid: str, table: ThinTable) -> DeviceRecord:
        if bare_name(table.pool_dev) not in self._devices:
            raise DeviceMapperError(errno.EINVAL, f"Error opening pool device: {table.pool_dev}")
        async with self._devices.holding(table.pool_dev) as parent:
            if not parent.is_pool:
                raise DeviceMapperError(errno.EINVAL, f"Couldn't find pool object: {table.pool_dev}")
            if parent.suspended:
                raise DeviceMapperError(
                    errno.EINVAL, "Unable to activate thin device while pool is suspended"
                )
            origin = await self._origin_of(table, parent)
            try:
                thin = await parent.pool.open_thin(table.thin_id, table.length, origin)
            except BaseException:
                if origin is not None:
                    origin.close()
                raise
            try:
                volume = ThinVolume(name, bytes_of(table.length), parent.pool, thin, self.trace)
                number = await self._nodes.attach(name, volume)
            except BaseException as error:
                parent.pool.close_thin(thin)
                if isinstance(error, OSError):
                    raise _refused(error, f"cannot make the node of {name}") from error
                raise
            parent.users += 1
        return DeviceRecord(name, uuid, table, parent.pool, volume, number)

    async def _origin_of(self, table: ThinTable, parent: DeviceRecord) -> BlockDevice | None:
        """Open the external origin of *table*, None without one; the errno of opening it.

        EOPNOTSUPP for a thin device of the same pool: its reads would wait for the very write that needs
        them.
        """
        if table.origin_dev is None:
            return None
        known = self._devices.get(bare_name(table.origin_dev))
        if known is not None and known.pool is parent.pool:
            raise DeviceMapperError(
                errno.EOPNOTSUPP, f"an external origin in the same pool is not served: {table.origin_dev}"
            )
        return await open_device(table.origin_dev, "origin", self._open_origin, self._run)

    def _check_unused(self, table: PoolTable, device: DeviceRecord | None) -> None:
        """Raise EBUSY when another device than *device* is a pool on a device of *table* (__pool_find)."""
        for other in self._devices.values():
            if other is device or not isinstance(other.table, PoolTable):
                continue
            if other.table.metadata_dev == table.metadata_dev:
                raise DeviceMapperError(errno.EBUSY, "metadata device already in use by a pool")
            if other.table.data_dev == table.data_dev:
                raise DeviceMapperError(errno.EBUSY, "data device already in use by a pool")

    async def _suspend_pool(self, device: DeviceRecord) -> None:
        await device.pool.gate.close()
        device.suspended = True
        await _commit_or_log(device)

    async def _resume(self, device: DeviceRecord) -> None:
        if device.inactive is not None and not device.suspended:
            await self._suspend_pool(device)
        if not device.suspended:
            return
        if device.volume is None:
            # The table is live from here on, even when the resume fails (dm-ioctl.c, do_resume).
            loaded, device.inactive = device.inactive, None
            device.table = loaded or device.table
            await device.pool.resume(loaded)
        else:
            device.volume.gate.open()
        device.suspended = False
        await self._thaw(device)

    async def _thaw(self, device: DeviceRecord) -> None:
        if device.frozen:
            device.frozen = False
            # Nobody else will thaw it.
            with trio.CancelScope(shield=True):
                await self._nodes.thaw(device.name)

    async def _remove_pool(self, device: DeviceRecord) -> None:
        if device.users:
            raise DeviceMapperError(errno.EBUSY, f"pool {device.name} has active thin devices")
        # Once begun it is finished: a pool half removed would keep its devices open.
        with trio.CancelScope(shield=True):
            device.pool.let_through()
            self._committers.pop(device.name).cancel()
            await _commit_or_log(device)
            try:
                await device.pool.close()
            finally:
                self._forget(device)

    async def _remove_thin(self, device: DeviceRecord, *, deferred: bool) -> None:
        try:
            # A removal that was deferred before stays so: detaching at once would take that back.
            gone = await self._nodes.detach(device.name, deferred=deferred or device.deferred_remove)
        except (OSError, KernelError) as error:
            raise _refused(error, f"cannot remove {device.name}") from error
        if gone:
            self._forget_thin(device)
            return
        device.deferred_remove = True
        if not deferred:
            raise DeviceMapperError(errno.EBUSY, f"device {device.name} is open")

    def _forget_thin(self, device: DeviceRecord) -> None:
        assert device.volume is not None, "a thin device has a volume"
        device.volume.kill()
        device.pool.close_thin(device.volume.device)
        for other in self._devices.values():
            if other.is_pool and other.pool is device.pool:
                other.users -= 1
        self._forget(device)

    def _forget(self, device: DeviceRecord) -> None:
        del self._devices[device.name]
        device.removed.set()


async def _commit_or_log(device: DeviceRecord) -> None:
    """Commit where the kernel does not care whether it works: the mode shows it (dm-thin.c, pool_status)."""
    try:
        await device.pool.commit()
    except DeviceMapperError as error:
        log.error("pool %s: %s", device.name, error)


def _refused(error: OSError | KernelError, text: str) -> DeviceMapperError:
    return DeviceMapperError(error.errno or errno.EIO, f"{text}: {error}")


async def _keep_committing(pool: ActivePool, scope: trio.CancelScope) -> None:
    with scope:
        await pool.keep_committing()
