"""A `DeviceRemoval` removes mapped devices: at once, at the last close, or all of them.

Sources: drivers/md/dm-ioctl.c, dm.c.
"""

import errno
import logging
from collections.abc import Callable

import trio

from thinsim.dm.emulator.devices import Devices
from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.dm.emulator.nodes import Nodes, node_refusal, thaw_device
from thinsim.errors import DeviceMapperError, KernelError

log = logging.getLogger(__name__)


class DeviceRemoval:
    """A `DeviceRemoval` removes *devices* and their *nodes*; it calls *changed* after each one.

    A removal that waits for the last user continues in the nursery of :meth:`serve`.
    """

    def __init__(self, devices: Devices, nodes: Nodes, changed: Callable[[], None]) -> None:
        self._devices = devices
        self._nodes = nodes
        self._changed = changed
        self._nursery: trio.Nursery | None = None

    def serve(self, nursery: trio.Nursery) -> None:
        """Run delayed removals in *nursery* from now on."""
        self._nursery = nursery

    async def remove(self, device: MappedDevice, *, deferred: bool = False) -> None:
        """Remove *device*; EBUSY while it is open (dev_remove).

        If *deferred*, an open device is removed at its last close instead.
        """
        async with self._devices.holding(device):
            if device.users or await self._nodes.is_open(device.name):
                # An open device stays as it is, suspended or not (dm.c, dm_lock_for_deletion).
                if not deferred:
                    raise DeviceMapperError(errno.EBUSY, f"device {device.name} is open")
                device.deferred_remove = True
                if device.users:
                    return
            await self._take_away(device, deferred=deferred)

    async def gone(self, name: str) -> None:
        """Finish the deferred removal of a device whose node is gone."""
        device = self._devices.get(name)
        if device is None:
            return
        async with device.lock:
            if device.deferred_remove and self._devices.get(name) is device and not device.users:
                await self._forget(device)

    async def remove_all(self) -> None:
        """Remove every device, users before the devices they use; errors are logged."""
        while self._devices:
            device = min(self._devices.values(), key=lambda each: each.users)
            async with device.lock:
                if self._devices.get(device.name) is device:
                    await self._close_one(device)

    def when_unused(self, device: MappedDevice) -> None:
        """Continue a removal that waited for the last target that used *device*."""
        if device.deferred_remove and self._nursery is not None:
            self._nursery.start_soon(self._remove_unused, device)

    async def _take_away(self, device: MappedDevice, *, deferred: bool) -> None:
        """Detach the node and forget the device; let I/O that waits for a suspended device through first."""
        if device.suspended and not device.users:
            with trio.CancelScope(shield=True):
                await self._resume_for_removal(device)
        try:
            # A removal that was deferred before stays deferred: detaching at once would cancel that.
            gone = await self._nodes.detach(device.name, deferred=deferred or device.deferred_remove)
        except (OSError, KernelError) as error:
            raise node_refusal(error, f"cannot remove {device.name}") from error
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
        await thaw_device(self._nodes, device)

    async def _forget(self, device: MappedDevice) -> None:
        self._devices.drop(device)
        self._changed()
        pool = device.live.shown_pool if device.live is not None else None
        if pool is not None:
            await pool.active.commit_or_log()
        await device.kill()

    async def _remove_unused(self, device: MappedDevice) -> None:
        try:
            await self.remove(device, deferred=True)
        except KernelError as error:
            log.warning("deferred removal of %s: %s", device.name, error)

    async def _close_one(self, device: MappedDevice) -> None:
        try:
            await self._take_away(device, deferred=True)
        except (KernelError, OSError) as error:
            log.error("closing %s: %s", device.name, error)
        if self._devices.get(device.name) is device:
            await self._forget(device)
