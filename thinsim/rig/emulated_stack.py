"""Sets up the emulated rig's lower half: a backing store with a pool's devices, the device-mapper's daemon.

No pool stands yet; whoever uses it creates one on the two loop devices.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.machine.journal import Journal
from thinsim.machine.servers import Server
from thinsim.rig.backing import Backing, stand_up_backing, start_server_of_mount
from thinsim.rig.shape import PoolShape

CONTROL_DEVICE = "control"


@dataclass(frozen=True, slots=True)
class EmulatedStack(Backing):
    """What stands: the devices a pool goes on, and a device-mapper."""

    dm: EmulatedDeviceMapper
    dm_server: Server

    @property
    def control_device(self) -> Path:
        """The socket that a drop-in dmsetup's ioctls go to."""
        return self.sockets / CONTROL_DEVICE


@asynccontextmanager
async def stand_up_stack(directory: Path, shape: PoolShape, journal: Journal) -> AsyncIterator[EmulatedStack]:
    """Stand the lower half up in *directory*, which exists and keeps the files; tear it down on the way out.

    Everything taken is in *journal* before it is taken.
    """
    async with AsyncExitStack() as stack:
        backing = await stack.enter_async_context(stand_up_backing(directory, shape, journal))
        volumes, socket = directory / "volumes", backing.sockets / "dm.sock"
        volumes.mkdir(mode=0o700)
        server = await start_device_mapper(stack, volumes, socket, journal)
        of_backing = {field.name: getattr(backing, field.name) for field in fields(Backing)}
        yield EmulatedStack(**of_backing, dm=EmulatedDeviceMapper(socket), dm_server=server)


async def start_device_mapper(
    stack: AsyncExitStack, mountpoint: Path, socket: Path, journal: Journal
) -> Server:
    """Start the emulated device-mapper on *mountpoint*, which exists; *stack* ends it.

    It listens on *socket*, and beside it for dmsetup's ioctls on ``CONTROL_DEVICE``.
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
