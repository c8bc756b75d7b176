"""The verbs of device-mapper on pools and thin devices that this process holds.

One implementation for two settings: in process without nodes, and in the daemon, where each thin
device has a loop device and ``/dev/mapper/NAME``. Facts: drivers/md/dm-ioctl.c, dm-thin.c.
"""

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from thinsim.block.interface import BlockDevice
from thinsim.dm.active_pool import ActivePool, Runner
from thinsim.dm.interface import DeviceInfo
from thinsim.dm.metadata_device import MetadataDevice
from thinsim.dm.names import check_name
from thinsim.dm.nodes import MAPPER, Nodes
from thinsim.dm.thin_volume import ThinVolume, TracedWrite
from thinsim.errors import DeviceMapperError
from thinsim.thin.pool import Pool
from thinsim.thin.table import PoolTable, ThinTable, parse_pool_table, parse_thin_table, target_type
from thinsim.units import bytes_of


@dataclass(slots=True)
class _Device:
    """One device-mapper device; exactly one of *pool* and *volume* is set."""

    name: str
    uuid: str
    table: PoolTable | ThinTable
    pool: ActivePool
    volume: ThinVolume | None = None
    number: tuple[int, int] = (0, 0)
    suspended: bool = False
    frozen: bool = False
    deferred_remove: bool = False
    users: int = field(default=0)  # thin devices on a pool

    @property
    def is_pool(self) -> bool:
        return self.volume is None


class LocalDeviceMapper:
    """A DeviceMapper over pools in this process. Use as ``async with LocalDeviceMapper(...) as dm``."""

    def __init__(self, nodes: Nodes, open_block: Callable[[str], BlockDevice], run: Runner) -> None:
        self._nodes = nodes
        self._open_block = open_block
        self._run = run
        self._devices: dict[str, _Device] = {}
        self._lock = trio.Lock()  # one verb at a time, as dm-ioctl's _hash_lock and the suspend lock
        self._nursery: trio.Nursery | None = None
        self._committers: dict[str, trio.CancelScope] = {}
        self._trace: list[TracedWrite] | None = None

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
        """Create, load and resume in one step."""
        async with self._lock:
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
        """Refuse: tables are fixed at creation in this version."""
        self._find(name)
        raise DeviceMapperError(errno.EOPNOTSUPP, f"loading another table into {name} is not served yet")

    async def suspend(self, name: str, *, noflush: bool = False, nolockfs: bool = False) -> None:
        """Hold I/O; freezes first unless *nolockfs* or *noflush*."""
        async with self._lock:
            device = self._find(name)
            if device.suspended:
                return
            if device.volume is None:
                await device.pool.gate.close()
                await device.pool.commit()
            else:
                if not (nolockfs or noflush):
                    await self._nodes.freeze(name)
                    device.frozen = True
                try:
                    await device.volume.gate.close()
                except BaseException:
                    await self._thaw(device)
                    raise
            device.suspended = True

    async def resume(self, name: str) -> None:
        """Let I/O through and thaw."""
        async with self._lock:
            await self._resume(self._find(name))

    async def remove(
        self, name: str, *, deferred: bool = False, force: bool = False, retry: bool = False
    ) -> None:
        """Remove; a pool with active thin devices is EBUSY. *force* and *retry* change nothing for these targets."""
        async with self._lock:
            await self._remove(self._find(name), deferred=deferred)

    async def message(self, name: str, sector: int, text: str) -> None:
        """Send a pool message; a thin target takes none (EINVAL)."""
        device = self._find(name)
        if not device.is_pool:
            raise DeviceMapperError(errno.EINVAL, f"{name}: a thin target takes no messages")
        if not 0 <= sector < device.table.length:
            raise DeviceMapperError(errno.EINVAL, f"{name} has no sector {sector}")
        await device.pool.message(text)

    async def status(self, name: str, *, noflush: bool = False) -> str:
        """Return the status line; a pool that isn't suspended commits first unless *noflush*."""
        device = self._find(name)
        if device.volume is not None:
            return device.volume.device.status().text(0, device.table.length)
        if not noflush and not device.suspended:
            await device.pool.commit()
        return device.pool.engine.status().text(0, device.table.length)

    async def table(self, name: str) -> str:
        """Return the table line, devices as major:minor."""
        device = self._find(name)
        if isinstance(device.table, PoolTable):
            return device.table.text(_number_of(device.table.metadata_dev), _number_of(device.table.data_dev))
        major, minor = self._find(_bare(device.table.pool_dev)).number
        return device.table.text(f"{major}:{minor}")

    async def info(self, name: str) -> DeviceInfo:
        """Return what is known of *name*."""
        device = self._find(name)
        opened = device.users if device.is_pool else int(self._nodes.is_open(name))
        return DeviceInfo(
            name=name,
            major=device.number[0],
            minor=device.number[1],
            open_count=opened,
            suspended=device.suspended,
            live_table=True,
            inactive_table=False,
            event_nr=device.pool.engine.event_nr if device.is_pool else 0,
            deferred_remove=device.deferred_remove,
            uuid=device.uuid,
        )

    async def list(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._devices)

    async def wait(self, name: str, event_nr: int) -> int:
        """Wait for an event of a pool."""
        return await self._find(name).pool.wait_event(event_nr)

    def path(self, name: str) -> Path:
        """Return ``/dev/mapper/NAME``."""
        return MAPPER / name

    def volume(self, name: str) -> ThinVolume:
        """Return the volume of an active thin device; ENXIO for none."""
        volume = self._find(name).volume
        if volume is None:
            raise DeviceMapperError(errno.ENXIO, f"{name} is a pool, not a thin device")
        return volume

    def pool(self, name: str) -> ActivePool:
        """Return the pool behind a device."""
        return self._find(name).pool

    def start_trace(self) -> None:
        """Note every write and discard on thin devices from now on."""
        self._trace = []
        self._set_traces()

    def take_trace(self) -> "tuple[TracedWrite, ...]":
        """Return what was noted since the last call, or since the start; empty when none was started."""
        if self._trace is None:
            return ()
        taken = tuple(self._trace)
        self._trace.clear()
        return taken

    async def gone(self, name: str) -> None:
        """The node of a device whose removal was deferred is gone: finish the removal."""
        async with self._lock:
            device = self._devices.get(name)
            if device is not None and device.deferred_remove:
                await self._forget(device)

    async def close(self) -> None:
        """Remove every device, thin devices first; the last commit of each pool is made. Idempotent."""
        async with self._lock:
            for device in [d for d in self._devices.values() if not d.is_pool]:
                await self._remove(device, deferred=True)
                if device.name in self._devices:
                    await self._forget(device)
            for device in list(self._devices.values()):
                await self._remove(device, deferred=False)

    def _find(self, name: str) -> _Device:
        try:
            return self._devices[_bare(name)]
        except KeyError:
            raise DeviceMapperError(errno.ENXIO, f"device {name} not found") from None

    def _set_traces(self) -> None:
        for device in self._devices.values():
            if device.volume is not None:
                device.volume.trace = self._trace

    async def _create_pool(self, name: str, uuid: str, table: PoolTable) -> _Device:
        for other in self._devices.values():
            if isinstance(other.table, PoolTable) and other.table.metadata_dev == table.metadata_dev:
                raise DeviceMapperError(errno.EBUSY, "metadata device already in use by a pool")
        data: BlockDevice | None = None
        metadata: BlockDevice | None = None
        try:
            metadata = self._open(table.metadata_dev, "metadata")
            data = self._open(table.data_dev, "data")
            block_bytes = bytes_of(table.block_size)
            if bytes_of(table.length) > data.size:
                raise DeviceMapperError(errno.EINVAL, f"{table.data_dev} is too small for the pool's table")
            store = MetadataDevice(metadata)
            engine = Pool(
                table.features,
                table.block_size,
                table.length // table.block_size,
                table.low_water_blocks,
                store.blocks,
                await self._run(store.load),
                data.max_discard_bytes >= block_bytes,
            )
            pool = ActivePool(engine, data, store, self._run)
            await pool.commit()
        except BaseException:
            for opened in (data, metadata):
                if opened is not None:
                    opened.close()
            raise
        assert self._nursery is not None, "verbs are called inside running()"
        scope = trio.CancelScope()
        self._committers[name] = scope
        self._nursery.start_soon(_keep_committing, pool, scope)
        return _Device(name, uuid, table, pool)

    async def _create_thin(self, name: str, uuid: str, table: ThinTable) -> _Device:
        try:
            parent = self._find(table.pool_dev)
        except DeviceMapperError:
            raise DeviceMapperError(errno.EINVAL, f"{table.pool_dev} is not a pool here") from None
        if not parent.is_pool:
            raise DeviceMapperError(errno.EINVAL, f"Couldn't find pool object: {table.pool_dev}")
        if parent.suspended:
            raise DeviceMapperError(errno.EINVAL, "Unable to activate thin device while pool is suspended")
        thin = await parent.pool.open_thin(table.thin_id, table.length)
        try:
            volume = ThinVolume(name, bytes_of(table.length), parent.pool, thin, self._trace)
            number = await self._nodes.attach(name, volume)
        except BaseException:
            parent.pool.engine.close_thin(thin)
            raise
        parent.users += 1
        return _Device(name, uuid, table, parent.pool, volume, number)

    def _open(self, path: str, role: str) -> BlockDevice:
        try:
            return self._open_block(path)
        except OSError as error:
            raise DeviceMapperError(
                error.errno or errno.EIO, f"cannot open the pool's {role} device {path}"
            ) from error

    async def _resume(self, device: _Device) -> None:
        if not device.suspended:
            return
        gate = device.pool.gate if device.volume is None else device.volume.gate
        await gate.open()
        device.suspended = False
        await self._thaw(device)

    async def _thaw(self, device: _Device) -> None:
        if device.frozen:
            device.frozen = False
            await self._nodes.thaw(device.name)

    async def _remove(self, device: _Device, *, deferred: bool) -> None:
        if device.is_pool:
            if device.users:
                raise DeviceMapperError(errno.EBUSY, f"pool {device.name} has active thin devices")
            await self._resume(device)
            await self._forget(device)
            return
        await self._resume(device)
        try:
            gone = await self._nodes.detach(device.name, deferred=deferred)
        except OSError as error:
            raise DeviceMapperError(error.errno or errno.EIO, f"cannot remove {device.name}") from error
        if gone:
            await self._forget(device)
        else:
            device.deferred_remove = True

    async def _forget(self, device: _Device) -> None:
        del self._devices[device.name]
        if device.volume is None:
            self._committers.pop(device.name).cancel()
            try:
                await device.pool.commit()
            finally:
                device.pool.close()
            return
        await device.volume.kill()
        device.pool.engine.close_thin(device.volume.device)
        for other in self._devices.values():
            if other.is_pool and other.pool is device.pool:
                other.users -= 1


async def _keep_committing(pool: ActivePool, scope: trio.CancelScope) -> None:
    with scope:
        await pool.keep_committing()


def _bare(name: str) -> str:
    """A device may be named by its path, as in dmsetup and in tables."""
    return name.removeprefix(f"{MAPPER}/")


def _number_of(path: str) -> str:
    try:
        number = Path(path).stat().st_rdev
    except OSError:
        return "0:0"
    return f"{os.major(number)}:{os.minor(number)}"
