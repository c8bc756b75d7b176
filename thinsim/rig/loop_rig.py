"""`LoopRig` is the base of the rigs with devices: a pool on loop devices, with file systems.

Each rig has its own way to read the pool's mappings, and its own PATH for a snapshotter in another process
(``emulated.py``, ``kernel.py``).
"""

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import trio

from fuse_backing.events import LedgerEvent
from fuse_backing.faults import FaultPlan
from thinsim.block import kernel_view
from thinsim.dm.activity import Activity
from thinsim.dm.interface import DeviceMapper
from thinsim.machine.journal import Journal
from thinsim.machine.mounts import RecordedMounter
from thinsim.rig import device_io
from thinsim.rig.backing import DATA_FILE, DataBacking
from thinsim.rig.contents import Contents
from thinsim.rig.data_place import DataPlace
from thinsim.rig.host_file import host_allocation
from thinsim.rig.interface import DataAccess, HostAllocation, LedgerTotals
from thinsim.rig.shape import PoolShape
from thinsim.snapshotter import pool_contents
from thinsim.snapshotter.host import LinuxHost, SnapshotHost
from thinsim.snapshotter.pool_contents import ClosableStore
from thinsim.thin.mapping import Run
from thinsim.workload.block_history import ReplayingHost, open_played_node
from thinsim.workload.files import SnapshotFiles
from thinsim.workload.interface import Workload
from thinsim.workload.mounted_files import MountedFiles
from thinsim.workload.mounted_workload import MountedWorkload


@dataclass(slots=True, kw_only=True)
class LoopRig(ABC):
    """A `LoopRig` is a Rig whose subclasses add the mappings, the checker and the PATH of a subject."""

    name: str
    shape: PoolShape
    dm: DeviceMapper
    host: SnapshotHost
    mounter: RecordedMounter
    workload: Workload
    files: SnapshotFiles
    directory: Path
    backing: DataBacking
    data_device: Path
    """The pool's data device; the kernel counts the bytes written to it."""
    written_at_start: int
    """The bytes that the kernel had counted on *data_device* when the rig started."""
    place: DataPlace | None = None
    """The place of the pool's data in the data file; None: the whole file."""

    @property
    def sockets(self) -> Path:
        """Return a directory for the sockets of the subject; its path is short."""
        return self.backing.sockets

    def open_metadata(self, device: str) -> ClosableStore:
        """Open the device's node."""
        return pool_contents.open_metadata_node(device)

    async def write(self, device: str, offset: int, data: bytes) -> None:
        """Write to the device's node, past the page cache."""
        await trio.to_thread.run_sync(device_io.write, self.dm.path(device), offset, data)

    async def read(self, device: str, offset: int, length: int) -> bytes:
        """Read from the device's node, past the page cache."""
        return await trio.to_thread.run_sync(device_io.read, self.dm.path(device), offset, length)

    @asynccontextmanager
    async def holding_open(self, device: str) -> AsyncIterator[None]:
        """Open the device exclusively: the emulated device-mapper sees only exclusive opens."""
        path = self.dm.path(device)
        fd = await trio.to_thread.run_sync(os.open, path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
        try:
            yield
        finally:
            os.close(fd)

    async def data_plane(self) -> str:
        """Return an empty text: the kernel serves its thin devices."""
        return ""

    async def settle(self) -> None:
        """Commit the pool by a status command, then flush the data loop device to the host."""
        await self.dm.status(self.shape.name)
        await trio.to_thread.run_sync(device_io.flush, self.backing.data.path)

    async def host_allocation(self) -> HostAllocation:
        """Ask the host about the file, not the store."""
        whole = await trio.to_thread.run_sync(host_allocation, self.backing.data_file)
        if self.place is None:
            return whole
        ranges = self.place.within(whole.ranges)
        # Units of the host cannot be divided between places: count those of the whole file.
        return replace(whole, ranges=ranges, held=ranges if whole.maps_what_it_holds else whole.held)

    async def ledger(self) -> LedgerTotals:
        """Ask the backing store for the data file's totals."""
        by_file = await self.backing.store.totals_by_file()
        totals = by_file.get(DATA_FILE)
        if totals is None:
            return LedgerTotals(0, 0, 0)
        return LedgerTotals(totals.events, totals.punched_bytes, totals.freed)

    async def written_bytes(self) -> int:
        """Return the kernel's count of bytes written to the data device."""
        return kernel_view.traffic(self.data_device).written_bytes - self.written_at_start

    async def set_faults(self, plan: FaultPlan) -> None:
        """Send *plan* to the backing store."""
        await self.backing.store.set_faults(plan)

    async def events(self, since: int) -> Sequence[LedgerEvent]:
        """Ask the backing store for its events."""
        events = [event for event in await self.backing.store.events(since) if event.file == DATA_FILE]
        return events if self.place is None else self.place.events(events)

    def data_access(self) -> DataAccess:
        """Discard on the data device's node."""
        return DataAccess(
            f"discards of {self.data_device}",
            self.backing.data_file,
            self.place.start if self.place is not None else 0,
            partial(device_io.discard, self.data_device),
        )

    @abstractmethod
    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """Return the mappings of every thin id."""

    @abstractmethod
    async def check(self) -> list[str]:
        """Run the metadata checker and return its complaints, none for a sound pool."""

    @abstractmethod
    def subject_environment(self) -> Mapping[str, str]:
        """Return the environment variables for a snapshotter in another process. Call it once."""

    @abstractmethod
    async def take_activity(self) -> tuple[Activity, ...]:
        """Return what any process has done to thin devices since the last call."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """`Equipment` makes file systems on thin devices, mounts them and writes to them."""

    host: SnapshotHost
    mounter: RecordedMounter
    workload: Workload
    files: SnapshotFiles


def equipment(
    stack: AsyncExitStack, directory: Path, pool: str, journal: Journal, contents: Contents
) -> Equipment:
    """Return the equipment of *pool*, with files in *directory*; *stack* unmounts everything at the end."""
    mounter = RecordedMounter(journal)
    stack.push_async_callback(mounter.unmount_all)
    files = MountedFiles(mounter, directory / "files")
    if contents.played is not None:
        played = ReplayingHost(open_played_node, pool, contents.played)
        return Equipment(played, mounter, played, files)
    host = LinuxHost(mounter, directory / "lost+found")
    workload = MountedWorkload(mounter, directory / "root", contents.image, contents.container_bytes)
    return Equipment(host, mounter, workload, files)
