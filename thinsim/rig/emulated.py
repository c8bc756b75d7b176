"""The emulated rig: files on a FUSE backing store, loop devices on them, emulated dm-thin on those."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from fuse_backing.faults import FaultPlan
from fuse_backing.ledger import LedgerEvent
from fuse_backing.store import StoreClient
from thinsim import loop
from thinsim.dm.emulated import EmulatedDeviceMapper
from thinsim.rig.emulated_stack import DATA_FILE, stand_up_stack
from thinsim.rig.host_file import host_allocation
from thinsim.rig.interface import HostAllocation, LedgerTotals, PoolShape
from thinsim.rig.journal import Journal
from thinsim.rig.mounts import RecordedMounter
from thinsim.scenario.files import SnapshotFiles
from thinsim.scenario.image.archive import NO_IMAGE, Image
from thinsim.scenario.mounted_files import MountedFiles
from thinsim.scenario.mounted_workload import MountedWorkload
from thinsim.scenario.recording import BlockHistory, RecordingHost
from thinsim.scenario.workload import Workload
from thinsim.snapshotter.host import LinuxHost, SnapshotHost
from thinsim.thin.mapping import Run


@dataclass(slots=True)
class EmulatedRig:
    """A Rig that stands; see the module. Made by :func:`stand_up`."""

    shape: PoolShape
    dm: EmulatedDeviceMapper
    host: SnapshotHost
    workload: Workload
    files: SnapshotFiles
    directory: Path
    sockets: Path
    _store: StoreClient
    _data_file: Path
    _data_loop: loop.LoopDevice
    name: str = "emulated"
    _written_at_start: int = 0

    async def settle(self) -> None:
        """Commit the pool (status does), then flush the data loop down to the host."""
        await self.dm.status(self.shape.name)
        await trio.to_thread.run_sync(flush_device, self._data_loop.path)

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

    async def set_faults(self, plan: FaultPlan) -> None:
        """Tell the backing store."""
        await self._store.set_faults(plan)

    async def events(self, since: int) -> Sequence[LedgerEvent]:
        """Ask the backing store."""
        return [event for event in await self._store.events(since) if event.file == DATA_FILE]


@asynccontextmanager
async def stand_up(
    directory: Path,
    shape: PoolShape,
    journal: Journal,
    *,
    image: Image = NO_IMAGE,
    container_bytes: int = 0,
    record: BlockHistory | None = None,
) -> AsyncIterator[EmulatedRig]:
    """Stand the rig up in *directory*, which exists and keeps the pool's files; tear it down on the way out.

    Everything taken is in *journal* before it is taken. With *record* the block writes of every act
    are noted in it.
    """
    async with AsyncExitStack() as stack:
        lower = await stack.enter_async_context(stand_up_stack(directory, shape, journal))
        dm = lower.dm
        await dm.create(shape.name, lower.pool_table(shape))
        mounter = RecordedMounter(journal)
        stack.push_async_callback(mounter.unmount_all)
        host: SnapshotHost = LinuxHost(mounter, directory / "lost+found")
        workload: Workload = MountedWorkload(mounter, directory / "root", image, container_bytes)
        if record is not None:
            await dm.start_trace()
            host = workload = RecordingHost(host, workload, dm, shape.name, record)
        yield EmulatedRig(
            shape=shape,
            dm=dm,
            host=host,
            workload=workload,
            files=MountedFiles(mounter, directory / "files"),
            directory=directory,
            sockets=lower.sockets,
            _store=lower.store,
            _data_file=lower.data_file,
            _data_loop=lower.data,
            _written_at_start=loop.traffic(lower.data.path).written_bytes,
        )


def flush_device(device: Path) -> None:
    """Return when what was written to *device* has reached what is below it."""
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
