"""`open_backing` sets up the lowest part of a rig: a backing store and loop devices on its files."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import trio

from fuse_backing.mounts import mount_on, unmount
from fuse_backing.store_client import StoreClient
from thinsim.block import loop
from thinsim.machine.fuse_transport import store_words
from thinsim.machine.journal import Journal, TakenKind
from thinsim.machine.servers import Server
from thinsim.machine.sockets import make_socket_directory
from thinsim.machine.unmounting import abort_served
from thinsim.rig.host_file import prepare_host_directory
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes

DATA_FILE = "data"
METADATA_FILE = "metadata"
_MOUNT = "store"


@dataclass(frozen=True, slots=True)
class DataBacking:
    """A `DataBacking` is a backing store that runs, with one loop device for the data of a pool."""

    store: StoreClient
    store_server: Server
    data: loop.LoopDevice
    files: Path
    """The directory on the host that holds the store's files."""
    sockets: Path
    """The directory of the servers' sockets; its path is short."""

    @property
    def data_file(self) -> Path:
        """Return the path of the data file on the host."""
        return self.files / DATA_FILE


@dataclass(frozen=True, slots=True)
class Backing(DataBacking):
    """A `Backing` also has the loop device for the metadata of the pool."""

    metadata: loop.LoopDevice

    @property
    def metadata_file(self) -> Path:
        """Return the path of the metadata file on the host."""
        return self.files / METADATA_FILE

    def pool_table(self, shape: PoolShape) -> str:
        """Return the table line of a pool of *shape* on the two devices."""
        return shape.table(str(self.metadata.path), str(self.data.path))


@asynccontextmanager
async def open_backing(directory: Path, shape: PoolShape, journal: Journal) -> AsyncIterator[Backing]:
    """Set up a store with both loop devices; tear everything down at the end of the context.

    *directory* exists and keeps the files. Each resource is in *journal* before it is taken.
    """
    async with open_data_backing(directory, shape.data_size, journal) as lower, AsyncExitStack() as stack:
        metadata = await _attach(stack, directory / _MOUNT / METADATA_FILE, shape.metadata_size, journal)
        of_lower = {field.name: getattr(lower, field.name) for field in fields(DataBacking)}
        yield Backing(**of_lower, metadata=metadata)


@asynccontextmanager
async def open_data_backing(directory: Path, size: Bytes, journal: Journal) -> AsyncIterator[DataBacking]:
    """Set up a store with one loop device of *size* bytes, as :func:`open_backing` does."""
    async with AsyncExitStack() as stack:
        files, store = (directory / name for name in ("host", _MOUNT))
        for made in (files, store):
            made.mkdir(mode=0o700)
        await trio.to_thread.run_sync(prepare_host_directory, files)
        sockets, sockets_entry = make_socket_directory(journal)
        stack.callback(journal.end, sockets_entry)
        stack.callback(shutil.rmtree, sockets)
        server = await start_server_of_mount(
            stack,
            "backing store",
            "fuse_backing",
            [
                *("mount", str(files), str(store), "--foreground", *store_words()),
                *("--control", str(sockets / "store.sock")),
            ],
            store,
            directory / "store.log",
            journal,
        )
        yield DataBacking(
            store=StoreClient(sockets / "store.sock"),
            store_server=server,
            data=await _attach(stack, store / DATA_FILE, size, journal),
            files=files,
            sockets=sockets,
        )


async def start_server_of_mount(
    stack: AsyncExitStack,
    role: str,
    module: str,
    arguments: list[str],
    mountpoint: Path,
    log: Path,
    journal: Journal,
) -> Server:
    """Start a server that mounts *mountpoint*; *stack* stops the server, then removes the mount."""
    stack.callback(_end_mount, mountpoint, journal, journal.begin(TakenKind.MOUNT, target=mountpoint))
    server = await Server.start(role, module, arguments, log, journal)
    stack.push_async_callback(server.stop)
    return server


def _end_mount(mountpoint: Path, journal: Journal, entry: str) -> None:
    """Remove the dead mount of a server that was killed; a server that stops removes its own mount."""
    if mount_on(mountpoint) is not None:
        abort_served(mountpoint)
    if mount_on(mountpoint.resolve(strict=False)) is not None:
        unmount(mountpoint, lazy=True)
    journal.end(entry)


async def _attach(stack: AsyncExitStack, file: Path, size: Bytes, journal: Journal) -> loop.LoopDevice:
    """Create a sparse file of *size* bytes on the store and attach a loop device to it."""
    entry = journal.begin(TakenKind.LOOP, file=file)
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
