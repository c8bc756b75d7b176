"""Gives mapped devices their nodes: the seam between device-mapper and /dev.

The emulated device-mapper gives each thin device a loop device and ``/dev/mapper/NAME``
(``thinsim.dm.daemon.loop_nodes``); in process there are no nodes (:class:`NoNodes`).
"""

import errno
from typing import Protocol

import trio

from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.errors import DeviceMapperError, KernelError

_MAJOR = 253  # device-mapper's usual one


class Nodes(Protocol):
    """Gives devices their nodes. Errors are ``OSError`` or ThinsimError."""

    async def attach(self, name: str, device: MappedDevice, minor: int | None) -> tuple[int, int]:
        """Make a device of *name*, with *minor* if given (ENXIO if it is taken); return its number."""

    async def refresh(self, name: str) -> None:
        """The device resumed: its node appears, takes over size, discard granularity and read-only."""

    async def rename(self, name: str, new: str) -> None:
        """Give the node another name."""

    async def detach(self, name: str, *, deferred: bool) -> bool:
        """Take the node away and return whether it is gone.

        While it is open: LoopBusyError (EBUSY), or with *deferred* False is returned, the node
        goes at its last close and ``on_gone`` of :meth:`attach`'s volume is called.
        """

    async def is_open(self, name: str) -> bool:
        """Tell whether somebody has the node open: mounted or claimed."""

    async def freeze(self, name: str) -> None:
        """Freeze the file system mounted from *name*, or flush the node's cache where none is."""

    async def thaw(self, name: str) -> None:
        """Undo :meth:`freeze`."""


class NoNodes:
    """Devices without nodes: the process rig reaches them directly. Their numbers are made up."""

    def __init__(self) -> None:
        self._next = 0

    async def attach(self, name: str, device: MappedDevice, minor: int | None) -> tuple[int, int]:
        """Give the device a number."""
        if minor is not None:
            return _MAJOR, minor
        number, self._next = (_MAJOR, self._next), self._next + 1
        return number

    async def refresh(self, name: str) -> None:
        """Nothing to do."""

    async def rename(self, name: str, new: str) -> None:
        """Nothing to do."""

    async def detach(self, name: str, *, deferred: bool) -> bool:
        """Do nothing: nobody can have it open."""
        return True

    async def is_open(self, name: str) -> bool:
        """Nobody can."""
        return False

    async def freeze(self, name: str) -> None:
        """Nothing is mounted."""

    async def thaw(self, name: str) -> None:
        """Nothing is mounted."""


async def thaw_device(nodes: Nodes, device: MappedDevice) -> None:
    """Thaw what a suspend of *device* froze; nothing to do if it froze nothing."""
    if device.frozen:
        device.frozen = False
        # Nobody else will thaw it.
        with trio.CancelScope(shield=True):
            await nodes.thaw(device.name)


def node_refusal(error: OSError | KernelError, text: str) -> DeviceMapperError:
    """Return the error of a verb whose node can't be made or taken away; EIO where *error* has no errno."""
    return DeviceMapperError(error.errno or errno.EIO, f"{text}: {error}")
