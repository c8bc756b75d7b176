"""`MappedTables` finds the device-mapper table of a device, the kernel's or that of an emulated one.

A device of thinsim's emulated device-mapper is a loop device on a file of its daemon's mount. The daemon
knows the device by the file's name.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from fuse_backing.mounts import mount_of
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.clients.kernel import KernelDeviceMapper
from thinsim.dm.interface import DeviceMapper
from thinsim.dm.standing.places import sockets
from thinsim.dm.text import TableLine, parse_lines
from thinsim.errors import DeviceMapperError, EnvironmentLacksError
from thinsim.node.stack.block_view import BlockView

_VOLUMES = "fuse.thinsim"
_PATIENCE = 10.0
"""Seconds to wait for the answer of one device-mapper: that of another run may hang."""


@dataclass(frozen=True, slots=True)
class LiveTable:
    """A `LiveTable` is a device's live table, and the device-mapper that has the device."""

    dm: DeviceMapper
    name: str
    uuid: str
    lines: tuple[TableLine, ...]

    async def status(self) -> str:
        """Return the status of the device without a commit; an empty text if there is no answer."""
        with suppress(DeviceMapperError), trio.move_on_after(_PATIENCE):
            return await self.dm.status(self.name, noflush=True)
        return ""


class TableSource(Protocol):
    """A `TableSource` finds the tables of mapped devices."""

    async def table_of(self, device: BlockView) -> LiveTable | None:
        """Return the table of *device*; None if it is not mapped, or if nobody answers."""


class MappedTables:
    """`MappedTables` asks the machine's dmsetup and the daemons of the emulated device-mapper."""

    async def table_of(self, device: BlockView) -> LiveTable | None:
        if device.mapper_name:
            return await _kernels(device)
        if device.loop is not None:
            return await _emulated(device, Path(device.loop.file))
        return None


async def _kernels(device: BlockView) -> LiveTable | None:
    try:
        dm = KernelDeviceMapper()
        lines = parse_lines(await dm.table(device.mapper_name))
    except (EnvironmentLacksError, DeviceMapperError):
        return None
    return LiveTable(dm, device.mapper_name, device.mapper_uuid, tuple(lines))


async def _emulated(device: BlockView, file: Path) -> LiveTable | None:
    mount = mount_of(file)
    if mount is None or mount.fstype != _VOLUMES:
        return None
    for socket in dict.fromkeys((*_beside(mount.mountpoint), *sockets())):
        dm = EmulatedDeviceMapper(socket)
        with suppress(DeviceMapperError), trio.move_on_after(_PATIENCE):
            info = await dm.info(file.name)
            if f"{info.major}:{info.minor}" == device.number:
                lines = parse_lines(await dm.table(info.name))
                return LiveTable(dm, info.name, info.uuid, tuple(lines))
    return None


def _beside(volumes: Path) -> Iterator[Path]:
    """Yield the socket beside the mount of a daemon with other directories than this process."""
    socket = volumes.parent / "verbs"
    if socket.exists():
        yield socket
