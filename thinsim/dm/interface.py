"""A `DeviceMapper` has the verbs of dmsetup, its texts, and the kernel's errnos.

Implementations: ``thinsim.dm.clients.emulated`` (client of the daemon that serves thin devices over FUSE),
``thinsim.dm.clients.kernel`` (the machine's dmsetup) and ``thinsim.dm.emulator.local`` (in this process, no
device nodes). Tables, messages and status lines are the kernel's texts in all of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A `DeviceInfo` has the fields of ``dmsetup info`` (lvm2, libdm/libdevmapper.h, struct dm_info)."""

    name: str
    major: int
    minor: int
    open_count: int
    suspended: bool
    live_table: bool
    inactive_table: bool
    event_nr: int
    deferred_remove: bool
    read_only: bool = False
    target_count: int = 1
    uuid: str = ""


class DeviceMapper(Protocol):
    """A `DeviceMapper` carries out verbs; each raises DeviceMapperError with the errno of the kernel's ioctl.

    ENXIO: the device does not exist. EBUSY: the name is in use at create (as dmsetup reports it), or the
    device is open at remove. EINVAL: malformed table or message. ENODATA, EEXIST: thin id unknown or taken.
    """

    async def create(self, name: str, table: str, *, uuid: str = "", readonly: bool = False) -> None:
        """Create device *name*, load *table* (one line, sectors) and resume it."""

    async def load(self, name: str, table: str, *, readonly: bool = False) -> None:
        """Load *table* into the inactive slot; ``resume`` makes it live."""

    async def suspend(self, name: str, *, noflush: bool = False, nolockfs: bool = False) -> None:
        """Hold I/O; freeze a mounted file system first unless *nolockfs*. Suspending twice is no error."""

    async def resume(self, name: str) -> None:
        """Swap in a loaded table, thaw and let I/O through. Resuming twice is no error."""

    async def remove(
        self, name: str, *, deferred: bool = False, force: bool = False, retry: bool = False
    ) -> None:
        """Remove the device. EBUSY while it is open, unless *deferred*: then it goes at the last close."""

    async def message(self, name: str, sector: int, text: str) -> None:
        """Send *text* to the target at *sector*."""

    async def status(self, name: str, *, noflush: bool = False) -> str:
        """Return the status lines, without a final newline; a pool commits first unless *noflush*."""

    async def table(self, name: str) -> str:
        """Return the lines of the live table, without a final newline."""

    async def info(self, name: str) -> DeviceInfo:
        """Return the `DeviceInfo` of *name*."""

    async def list(self) -> list[str]:
        """Return all device names, sorted."""

    async def wait(self, name: str, event_nr: int) -> int:
        """Return the device's event number once it differs from *event_nr*; its removal is an event."""

    def path(self, name: str) -> Path:
        """Return the path of *name*'s node; without nodes, the path that it would have."""
