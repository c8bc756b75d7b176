"""`open_stack` sets up the lower half of the emulated rig: the backing store and the device-mapper.

It creates no pool: the caller creates one on the two loop devices.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.machine.journal import Journal
from thinsim.machine.servers import Server
from thinsim.rig.backing import Backing, open_backing, start_server_of_mount
from thinsim.rig.shape import PoolShape

CONTROL_DEVICE = "control"


@dataclass(frozen=True, slots=True)
class EmulatedStack(Backing):
    """An `EmulatedStack` has the two devices of a pool and an emulated device-mapper."""

    dm: EmulatedDeviceMapper
    dm_server: Server

    @property
    def control_device(self) -> Path:
        """Return the path of the socket that receives the ioctls of a drop-in dmsetup."""
        return self.sockets / CONTROL_DEVICE


@asynccontextmanager
async def open_stack(directory: Path, shape: PoolShape, journal: Journal) -> AsyncIterator[EmulatedStack]:
    """Set up the lower half in *directory*, which exists and keeps the files; tear it down at the end.

    Each resource is in *journal* before it is taken.
    """
    async with (
        open_backing(directory, shape, journal) as backing,
        open_stack_on(backing, directory, journal) as stack,
    ):
        yield stack


@asynccontextmanager
async def open_stack_on(backing: Backing, directory: Path, journal: Journal) -> AsyncIterator[EmulatedStack]:
    """Set up an emulated device-mapper beside *backing*, whose *directory* it uses, as :func:`open_stack`."""
    async with AsyncExitStack() as stack:
        volumes, socket = directory / "volumes", backing.sockets / "dm.sock"
        volumes.mkdir(mode=0o700)
        server = await start_device_mapper(stack, volumes, socket, journal)
        of_backing = {field.name: getattr(backing, field.name) for field in fields(Backing)}
        yield EmulatedStack(**of_backing, dm=EmulatedDeviceMapper(socket), dm_server=server)


async def start_device_mapper(
    stack: AsyncExitStack, mountpoint: Path, socket: Path, journal: Journal
) -> Server:
    """Start the emulated device-mapper on *mountpoint*, which exists; *stack* stops it.

    It listens on *socket*, and for dmsetup's ioctls on ``CONTROL_DEVICE`` in the same directory.
    """
    return await start_server_of_mount(
        stack,
        "emulated device-mapper",
        "thinsim.dm.daemon",
        [
            *("--mountpoint", str(mountpoint), "--control", str(socket), "--journal", str(journal.path)),
            *("--control-device", str(socket.with_name(CONTROL_DEVICE))),
        ],
        mountpoint,
        mountpoint.parent / "dm.log",
        journal,
    )
