"""A `LocalDeviceMapper` carries out the verbs of device-mapper in this process, as steps of the kernel."""

import errno
import logging
from pathlib import Path

import trio

from thinsim.dm.activity import Activity, ActivityKind
from thinsim.dm.emulator.device_steps import DeviceSteps
from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.dm.emulator.pool.active_pool import ActivePool
from thinsim.dm.interface import DeviceInfo
from thinsim.dm.names import MAPPER
from thinsim.dm.text import TableLine, joined, parse_lines
from thinsim.errors import DeviceMapperError, KernelError
from thinsim.units import SECTOR_SIZE

log = logging.getLogger(__name__)


class LocalDeviceMapper(DeviceSteps):
    """A `LocalDeviceMapper` is a DeviceMapper over devices in this process.

    Use: ``async with LocalDeviceMapper(...).running() as dm``.
    """

    async def create(self, name: str, table: str, *, uuid: str = "", readonly: bool = False) -> None:
        """Create, load and resume a device; undo it all if a step fails, as libdm does."""
        device = await self.add(name, uuid)
        try:
            await self.load_lines(device, parse_lines(table), read_only=readonly)
            await self.resume_device(device)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.remove_device(device)
            raise

    async def load(self, name: str, table: str, *, readonly: bool = False) -> None:
        """Load *table* into the inactive slot; ``resume`` makes it live."""
        await self.load_lines(self.devices.find(name), parse_lines(table), read_only=readonly)

    async def suspend(self, name: str, *, noflush: bool = False, nolockfs: bool = False) -> None:
        """Hold I/O; freeze a mounted file system first unless *nolockfs* or *noflush*."""
        await self.suspend_device(self.devices.find(name), lock_fs=not (noflush or nolockfs), noflush=noflush)

    async def resume(self, name: str) -> None:
        """Make a loaded table live, let I/O through and thaw."""
        await self.resume_device(self.devices.find(name))

    async def remove(
        self, name: str, *, deferred: bool = False, force: bool = False, retry: bool = False
    ) -> None:
        """Remove a device; EBUSY while it is open or another device uses it. *retry* has no effect here.

        *force* first loads the error target, which stays if the device does (lvm2, dmsetup.c, _remove and
        _error_device).
        """
        device = self.devices.find(name)
        if force:
            await self._put_error(device)
        await self.remove_device(device, deferred=deferred)

    async def message(self, name: str, sector: int, text: str) -> None:
        """Send a message to the target at *sector* (dm-ioctl.c, target_message)."""
        device = self.devices.find(name)
        if device.live is None:
            raise DeviceMapperError(errno.EINVAL, f"{name} has no table")
        target = device.live.target_at(sector)
        if target is None:
            raise DeviceMapperError(errno.EINVAL, f"{name} has no sector {sector}")
        await target.message(text)
        self.activity.note(Activity(ActivityKind.MESSAGE, device.name, -1, text=text))

    async def status(self, name: str, *, noflush: bool = False) -> str:
        """Return the status lines; a pool that is not suspended commits first unless *noflush*."""
        lines = await self.status_lines(self.devices.find(name), noflush=noflush)
        return joined(lines)

    async def table(self, name: str) -> str:
        """Return the table lines, with devices as major:minor."""
        live = self.devices.find(name).live
        lines = live.lines(lambda target: target.table()) if live is not None else []
        return joined(lines)

    async def info(self, name: str) -> DeviceInfo:
        """Return the `DeviceInfo` of *name*."""
        return await self.info_of(self.devices.find(name))

    async def list(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self.devices)

    async def wait(self, name: str, event_nr: int) -> int:
        """Return the event number once it differs from *event_nr*; renaming and removing count as events."""
        return await self.devices.find(name).wait_event(event_nr)

    def path(self, name: str) -> Path:
        """Return ``/dev/mapper/NAME``."""
        return MAPPER / name

    def volume(self, name: str) -> MappedDevice:
        """Return the device, for I/O without a node; ENXIO if it does not exist."""
        return self.devices.find(name)

    def pool(self, name: str) -> ActivePool:
        """Return the pool of a pool device or of a thin device; EINVAL for another device."""
        device = self.devices.find(name)
        pool = device.live.pool if device.live is not None else None
        if pool is None:
            raise DeviceMapperError(errno.EINVAL, f"{name} is neither a pool nor a thin device")
        return pool.active

    async def _put_error(self, device: MappedDevice) -> None:
        if not device.size:
            return
        wildcard = next(each for each in self.target_types if each.wildcard)
        try:
            line = TableLine(0, device.size // SECTOR_SIZE, wildcard.name, "")
            await self.load_lines(device, [line])
            await self.resume_device(device)
        except KernelError as error:  # like dmsetup, continue with the removal
            log.warning("error target for %s: %s", device.name, error)
