"""The emulated rig: files on a FUSE backing store, loop devices on them, emulated dm-thin on those."""

import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from fuse_backing.store import StoreClient
from thinsim import loop
from thinsim.dm.emulated import EmulatedDeviceMapper
from thinsim.rig.host_file import host_allocation
from thinsim.rig.interface import HostAllocation, LedgerTotals, PoolShape
from thinsim.rig.journal import Journal, Kind
from thinsim.rig.mounts import RecordedMounter
from thinsim.rig.servers import Server
from thinsim.rig.sockets import make_socket_directory
from thinsim.scenario.image.archive import Image
from thinsim.scenario.mounted_workload import MountedWorkload
from thinsim.scenario.recording import BlockHistory, RecordingHost
from thinsim.scenario.workload import Workload
from thinsim.snapshotter.host import LinuxHost, SnapshotHost
from thinsim.thin.mapping import Run
from thinsim.units import Bytes

DATA_FILE = "data"
METADATA_FILE = "metadata"


@dataclass(slots=True)
class EmulatedRig:
    """A Rig that stands; see the module. Made by :func:`stand_up`."""

    shape: PoolShape
    dm: EmulatedDeviceMapper
    host: SnapshotHost
    workload: Workload
    directory: Path
    _store: StoreClient
    _data_file: Path
    _data_loop: loop.LoopDevice
    name: str = "emulated"
    _written_at_start: int = 0

    async def settle(self) -> None:
        """Commit the pool (status does), then flush the data loop down to the host."""
        await self.dm.status(self.shape.name)
        await trio.to_thread.run_sync(_flush, self._data_loop.path)

    async def host_allocation(self) -> HostAllocation:
        """Read the host file's extent map, past the store."""
        return await trio.to_thread.run_sync(host_allocation, self._data_file)

    async def ledger(self) -> LedgerTotals:
        """Ask the backing store for the data file's totals."""
        by_file = await self._store.totals_by_file()
        totals = by_file.get(DATA_FILE)
        if totals is None:
            return LedgerTotals(0, 0, 0)
        return LedgerTotals(totals.events, totals.punched_bytes, totals.freed)

    async def written_bytes(self) -> int:
        """The kernel's count of bytes written to the data loop device."""
        return loop.traffic(self._data_loop.path).written_bytes - self._written_at_start

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """Ask the device-mapper."""
        return await self.dm.mappings(self.shape.name)

    async def check(self) -> list[str]:
        """Ask the device-mapper's checker."""
        return list(await self.dm.check(self.shape.name))


@asynccontextmanager
async def stand_up(
    directory: Path,
    shape: PoolShape,
    journal: Journal,
    *,
    image: Image,
    container_bytes: int,
    record: BlockHistory | None = None,
) -> AsyncIterator[EmulatedRig]:
    """Stand the rig up in *directory*, which exists and keeps the pool's files; tear it down on the way out.

    Everything taken is in *journal* before it is taken. With *record* the block writes of every act
    are noted in it.
    """
    async with AsyncExitStack() as stack:
        host_files, store, volumes = (directory / name for name in ("host", "store", "volumes"))
        for made in (host_files, store, volumes):
            made.mkdir(mode=0o700)
        sockets, sockets_entry = make_socket_directory(journal)
        stack.callback(journal.end, sockets_entry)
        stack.callback(shutil.rmtree, sockets)
        await _start_store(stack, host_files, store, sockets / "store.sock", journal)
        data = await _attach(stack, store / DATA_FILE, shape.data_size, journal)
        metadata = await _attach(stack, store / METADATA_FILE, shape.metadata_size, journal)
        await _start_device_mapper(stack, volumes, sockets / "dm.sock", journal)
        dm = EmulatedDeviceMapper(sockets / "dm.sock")
        await dm.create(shape.name, shape.table(str(metadata.path), str(data.path)))
        mounter = RecordedMounter(journal)
        stack.push_async_callback(mounter.unmount_all)
        host: SnapshotHost = LinuxHost(mounter, directory / "lost+found")
        workload: Workload = MountedWorkload(mounter, directory / "root", image, container_bytes)
        if record is not None:
            await dm.start_trace()
            host = workload = RecordingHost(host, workload, dm, record)
        yield EmulatedRig(
            shape=shape,
            dm=dm,
            host=host,
            workload=workload,
            directory=directory,
            _store=StoreClient(sockets / "store.sock"),
            _data_file=host_files / DATA_FILE,
            _data_loop=data,
            _written_at_start=loop.traffic(data.path).written_bytes,
        )


async def _start_store(
    stack: AsyncExitStack, directory: Path, mountpoint: Path, socket: Path, journal: Journal
) -> None:
    stack.callback(journal.end, journal.begin(Kind.MOUNT, target=mountpoint))
    server = await Server.start(
        "backing store",
        "fuse_backing",
        ["mount", str(directory), str(mountpoint), "--foreground", "--control", str(socket)],
        directory.parent / "store.log",
        journal,
    )
    stack.push_async_callback(server.stop)


async def _start_device_mapper(
    stack: AsyncExitStack, mountpoint: Path, socket: Path, journal: Journal
) -> None:
    stack.callback(journal.end, journal.begin(Kind.MOUNT, target=mountpoint))
    server = await Server.start(
        "emulated device-mapper",
        "thinsim.dm.daemon",
        ["--mountpoint", str(mountpoint), "--control", str(socket), "--journal", str(journal.path)],
        mountpoint.parent / "dm.log",
        journal,
    )
    stack.push_async_callback(server.stop)


async def _attach(stack: AsyncExitStack, file: Path, size: Bytes, journal: Journal) -> loop.LoopDevice:
    """Make a sparse file of *size* bytes on the store and attach it."""
    entry = journal.begin(Kind.LOOP, file=file)
    device = await trio.to_thread.run_sync(_make_and_attach, file, size)
    journal.amend(entry, path=device.path, device=device.device, inode=device.inode)

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


def _flush(device: Path) -> None:
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
