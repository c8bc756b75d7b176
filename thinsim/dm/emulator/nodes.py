"""`Nodes` gives mapped devices their nodes: it is the seam between device-mapper and /dev.

The emulated device-mapper attaches loop devices and makes ``/dev/mapper/NAME``
(``thinsim.dm.daemon.loop_nodes``). In process, devices have no nodes (:class:`NoNodes`).
"""

import errno
from typing import Protocol

import trio

from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.errors import DeviceMapperError, KernelError

_MAJOR = 253  # device-mapper's usual major


class Nodes(Protocol):
    """A `Nodes` gives devices their nodes. Its errors are ``OSError`` or ThinsimError."""

    async def attach(self, name: str, device: MappedDevice, minor: int | None) -> tuple[int, int]:
        """Create the node of *name*, with *minor* if given (ENXIO if it is taken); return its number."""

    async def refresh(self, name: str) -> None:
        """Show the node after a resume, with the device's size, discard granularity and read-only flag."""

    async def rename(self, name: str, new: str) -> None:
        """Rename the node."""

    async def detach(self, name: str, *, deferred: bool) -> bool:
        """Remove the node and return whether it is gone.

        If the node is open, raise LoopBusyError (EBUSY), or with *deferred* return False. The node then goes
        at its last close, and ``DeviceSteps.gone`` is to be called.
        """

    async def is_open(self, name: str) -> bool:
        """Return whether the node is in use: mounted or claimed."""

    async def freeze(self, name: str) -> None:
        """Freeze the file system mounted from *name*; without a mount, flush the node's cache."""

    async def thaw(self, name: str) -> None:
        """Undo :meth:`freeze`."""


class NoNodes:
    """`NoNodes` serves devices without nodes: the process rig reaches them directly. Numbers are made up."""

    def __init__(self) -> None:
        self._next = 0

    async def attach(self, name: str, device: MappedDevice, minor: int | None) -> tuple[int, int]:
        """Return *minor*, or the next number."""
        if minor is not None:
            return _MAJOR, minor
        number, self._next = (_MAJOR, self._next), self._next + 1
        return number

    async def refresh(self, name: str) -> None:
        """Do nothing."""

    async def rename(self, name: str, new: str) -> None:
        """Do nothing."""

    async def detach(self, name: str, *, deferred: bool) -> bool:
        return True  # nobody can have it open

    async def is_open(self, name: str) -> bool:
        return False

    async def freeze(self, name: str) -> None:
        """Do nothing: no file system is mounted."""

    async def thaw(self, name: str) -> None:
        """Do nothing: no file system is mounted."""


async def thaw_device(nodes: Nodes, device: MappedDevice) -> None:
    """Thaw the file system that a suspend of *device* froze, if any."""
    if device.frozen:
        device.frozen = False
        # Nothing else would thaw it.
        with trio.CancelScope(shield=True):
            await nodes.thaw(device.name)


def node_refusal(error: OSError | KernelError, text: str) -> DeviceMapperError:
    """Return the error of a verb whose node can't be created or removed; EIO if *error* has no errno."""
    return DeviceMapperError(error.errno or errno.EIO, f"{text}: {error}")
