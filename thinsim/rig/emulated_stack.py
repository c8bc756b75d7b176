"""The lower half of the emulated rig: backing store, loop devices on its files, the device-mapper's daemon.

No pool stands yet; whoever uses it creates one on the two loop devices.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

from fuse_backing.mounts import mount_on, unmount
from fuse_backing.store import StoreClient
from thinsim import loop
from thinsim.dm.emulated import EmulatedDeviceMapper
from thinsim.rig.interface import PoolShape
from thinsim.rig.journal import Journal, Kind
from thinsim.rig.servers import Server
from thinsim.rig.sockets import make_socket_directory
from thinsim.rig.unmounting import abort_served
from thinsim.units import Bytes

DATA_FILE = "data"
METADATA_FILE = "metadata"
CONTROL_DEVICE = "control"


@dataclass(frozen=True, slots=True)
class EmulatedStack:
    """What stands: the two servers, their clients, the devices a pool goes on."""

    dm: EmulatedDeviceMapper
    store: StoreClient
    data: loop.LoopDevice
    metadata: loop.LoopDevice
    data_file: Path
    """The data file on the host, below the store."""
    store_server: Server
    dm_server: Server
    sockets: Path
    """Where the servers listen, on a short path."""

    def pool_table(self, shape: PoolShape) -> str:
        """Return the table line of a pool of *shape* on the two devices."""
        return shape.table(str(self.metadata.path), str(self.data.path))


@asynccontextmanager
async def stand_up_stack(directory: Path, shape: PoolShape, journal: Journal) -> AsyncIterator[EmulatedStack]:
    """Stand the lower half up in *directory*, which exists and keeps the files; tear it down on the way out.

    Everything taken is in *journal* before it is taken.
    """
    async with AsyncExitStack() as stack:
        host_files, store, volumes = (directory / name for name in ("host", "store", "volumes"))
        for made in (host_files, store, volumes):
            made.mkdir(mode=0o700)
        sockets, sockets_entry = make_socket_directory(journal)
        stack.callback(journal.end, sockets_entry)
        stack.callback(shutil.rmtree, sockets)
        store_server = await _start_store(stack, host_files, store, sockets / "store.sock", journal)
        data = await _attach(stack, store / DATA_FILE, shape.data_size, journal)
        metadata = await _attach(stack, store / METADATA_FILE, shape.metadata_size, journal)
        dm_server = await start_device_mapper(stack, volumes, sockets / "dm.sock", journal)
        yield EmulatedStack(
            dm=EmulatedDeviceMapper(sockets / "dm.sock"),
            store=StoreClient(sockets / "store.sock"),
            data=data,
            metadata=metadata,
            data_file=host_files / DATA_FILE,
            store_server=store_server,
            dm_server=dm_server,
            sockets=sockets,
        )


async def _start_store(
    stack: AsyncExitStack, directory: Path, mountpoint: Path, socket: Path, journal: Journal
) -> Server:
    stack.callback(_end_mount, mountpoint, journal, journal.begin(Kind.MOUNT, target=mountpoint))
    server = await Server.start(
        "backing store",
        "fuse_backing",
        ["mount", str(directory), str(mountpoint), "--foreground", "--control", str(socket)],
        directory.parent / "store.log",
        journal,
    )
    stack.push_async_callback(server.stop)
    return server


async def start_device_mapper(
    stack: AsyncExitStack, mountpoint: Path, socket: Path, journal: Journal
) -> Server:
    """Start the emulated device-mapper on *mountpoint*, which exists; *stack* ends it.

    It listens on *socket*, and beside it for dmsetup's ioctls on ``CONTROL_DEVICE``.
    """
    stack.callback(_end_mount, mountpoint, journal, journal.begin(Kind.MOUNT, target=mountpoint))
    server = await Server.start(
        "emulated device-mapper",
        "thinsim.dm.daemon",
        [
            *("--mountpoint", str(mountpoint), "--control", str(socket), "--journal", str(journal.path)),
            *("--control-device", str(socket.with_name(CONTROL_DEVICE))),
        ],
        mountpoint.parent / "dm.log",
        journal,
    )
    stack.push_async_callback(server.stop)
    return server


def _end_mount(mountpoint: Path, journal: Journal, entry: str) -> None:
    """A server takes its mount with it; one that was killed leaves it, dead."""
    if mount_on(mountpoint) is not None:
        abort_served(mountpoint)
    if mount_on(mountpoint.resolve(strict=False)) is not None:
        unmount(mountpoint, lazy=True)
    journal.end(entry)


async def _attach(stack: AsyncExitStack, file: Path, size: Bytes, journal: Journal) -> loop.LoopDevice:
    """Make a sparse file of *size* bytes on the store and attach it."""
    entry = journal.begin(Kind.LOOP, file=file)
    device = await trio.to_thread.run_sync(_make_and_attach, file, size)
    journal.amend(entry, **asdict(device))

    async def detach() -> None:
        await trio.to_thread.run_sync(loop.detach, device)
        journal.end(entry)

    async def shielded() -> None:
        with trio.CancelScope(shield=True):
            await detach()

    stack.push_async_callback(shielded)
    return device


def _make_and_attach(file: Path, size: int) -> loop.LoopDevice:
    with file.open("xb") as made:
        made.truncate(size)
    return loop.attach(file)
