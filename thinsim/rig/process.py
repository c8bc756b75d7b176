"""The process rig runs the engine in this process on one sparse file, without root or mounts.

It is the default where no other rig can run. The pool, its counts, the discards and the host's allocation
are real. Files are not: the main job plays a recorded block history, a scenario file uses a file system of
extents, and bare devices are written block by block.
"""

import errno
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fuse_backing.events import LedgerEvent
from fuse_backing.faults import FaultPlan
from fuse_backing.ledger import Ledger
from thinsim.block.faulty import FaultyBlockDevice
from thinsim.block.interface import BlockDevice
from thinsim.block.sparse import SparseBlockDevice
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.dm.emulator.runner import in_place
from thinsim.dm.metadata_device import MetadataFile
from thinsim.machine.journal import Journal
from thinsim.rig.block_host import BlockHost, HoldableNodes
from thinsim.rig.contents import NOTHING, Contents
from thinsim.rig.host_file import host_allocation, prepare_host_directory
from thinsim.rig.interface import DataAccess, HostAllocation, LedgerTotals
from thinsim.rig.probes import HOLE_PUNCHING
from thinsim.rig.record import RigRecord
from thinsim.rig.shape import PoolShape
from thinsim.snapshotter.host import SnapshotHost
from thinsim.thin.mapping import Run
from thinsim.workload.block_history import BlockHistory, ReplayingHost
from thinsim.workload.extent_filesystem import ExtentFiles


@dataclass(slots=True)
class ProcessRig:
    """A `ProcessRig` is the Rig that :func:`running` sets up."""

    shape: PoolShape
    dm: LocalDeviceMapper
    host: SnapshotHost
    workload: ReplayingHost
    files: ExtentFiles
    directory: Path
    _ledger: Ledger
    _data: SparseBlockDevice
    _faulty: FaultyBlockDevice
    _nodes: HoldableNodes
    mounter: None = None

    @property
    def name(self) -> str:
        return PROCESS.name

    def open_metadata(self, device: str) -> MetadataFile:
        """Open the metadata file: it has no device number."""
        return MetadataFile(self.directory / "metadata")

    async def write(self, device: str, offset: int, data: bytes) -> None:
        """Write to the thin device itself."""
        await self.dm.volume(device).write(offset, data)

    async def read(self, device: str, offset: int, length: int) -> bytes:
        """Read from the thin device itself."""
        return await self.dm.volume(device).read(offset, length)

    @asynccontextmanager
    async def holding_open(self, device: str) -> AsyncIterator[None]:
        """Count the device as open during the context."""
        self._nodes.held.add(device)
        try:
            yield
        finally:
            self._nodes.held.discard(device)
            await self.dm.gone(device)

    async def settle(self) -> None:
        """Commit the pool; no other layer buffers writes."""
        await self.dm.status(self.shape.name)

    async def host_allocation(self) -> HostAllocation:
        """Ask the host about the file."""
        return host_allocation(self._data.path)

    async def ledger(self) -> LedgerTotals:
        """Return the totals of the ledger in this process."""
        totals = self._ledger.totals
        return LedgerTotals(totals.events, totals.punched_bytes, totals.freed)

    async def written_bytes(self) -> int:
        """Return the data device's own count."""
        return self._data.written

    async def data_plane(self) -> str:
        """Ask the device-mapper in this process."""
        return self.dm.pool(self.shape.name).plane.traffic().backend

    def data_access(self) -> DataAccess:
        """Discard on the data file, with its planned faults."""
        return DataAccess(f"discards of {self._data.path}", self._data.path, 0, self._faulty.discard)

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        return await self.dm.pool(self.shape.name).mappings()

    async def check(self) -> list[str]:
        return await self.dm.pool(self.shape.name).check()

    async def set_faults(self, plan: FaultPlan) -> None:
        """Replace the faults of the wrapper around the data file."""
        self._faulty.set(plan)

    async def events(self, since: int) -> Sequence[LedgerEvent]:
        return self._ledger.events(since)


@asynccontextmanager
async def running(
    directory: Path, shape: PoolShape, journal: Journal, contents: Contents = NOTHING
) -> AsyncIterator[ProcessRig]:
    """Set up the rig in *directory*, which exists and keeps the two files; it takes nothing else.

    The host plays the history of *contents* if it has one. Bare devices have a host without file systems.
    Other contents are files in a file system of extents.
    """
    ledger = Ledger()
    data_path, metadata_path = directory / "data", directory / "metadata"
    accounting = prepare_host_directory(directory)
    data = SparseBlockDevice.create(data_path, shape.data_size, ledger, accounting)
    metadata = SparseBlockDevice.create(metadata_path, shape.metadata_size)
    faulty = FaultyBlockDevice(data, data_path.name, ledger)
    devices: dict[str, BlockDevice] = {str(data_path): faulty, str(metadata_path): metadata}

    def open_block(path: str) -> BlockDevice:
        try:
            return devices[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "the process rig has no such device", path) from None

    nodes = HoldableNodes()
    dm = LocalDeviceMapper(nodes, open_block, in_place)
    async with dm.running():
        await dm.create(shape.name, shape.table(str(metadata_path), str(data_path)))

        @asynccontextmanager
        async def open_volume(name: str) -> AsyncIterator[MappedDevice]:
            yield dm.volume(name)

        replay = ReplayingHost(open_volume, shape.name, contents.played or BlockHistory("", 0, "none", 0))
        files = ExtentFiles(dm)
        host: SnapshotHost = files
        if contents.played is not None:
            host = replay
        elif contents.bare:
            host = BlockHost(dm, shape.block_bytes)
        yield ProcessRig(
            shape=shape,
            dm=dm,
            host=host,
            workload=replay,
            files=files,
            directory=directory,
            _ledger=ledger,
            _data=data,
            _faulty=faulty,
            _nodes=nodes,
        )
        nodes.held.clear()


PROCESS = RigRecord(
    name="process",
    needs=(HOLE_PUNCHING,),
    running=running,
    mounts=False,
    pool="the emulated dm-thin in the command's own process, on one sparse file; nothing is mounted",
    best_for="running without root; `thinsim reproduce` plays recorded block writes on it",
)
