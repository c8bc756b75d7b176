"""Gives what rigs with devices share: a pool on loop devices on a backing store, file systems.

How the pool's mappings are learnt, and what a snapshotter of its own process finds in PATH, is each
rig's own (``emulated.py``, ``kernel.py``).
"""

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
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
from thinsim.rig.interface import HostAllocation, LedgerTotals
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
    """A Rig, but for what its subclasses add. *written_at_start* is *data_device*'s count, bytes."""

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
    """The pool's data device; the kernel counts what is written to it."""
    written_at_start: int
    place: DataPlace | None = None
    """Where in the data file the pool's data lies; None: it is the whole file."""

    @property
    def sockets(self) -> Path:
        """A directory for the sockets of the subject, on a short path."""
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
        """Claim the device for itself alone: the emulated device-mapper sees no other opening."""
        path = self.dm.path(device)
        fd = await trio.to_thread.run_sync(os.open, path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
        try:
            yield
        finally:
            os.close(fd)

    async def settle(self) -> None:
        """Commit the pool (status does), then flush the data loop down to the host."""
        await self.dm.status(self.shape.name)
        await trio.to_thread.run_sync(device_io.flush, self.backing.data.path)

    async def host_allocation(self) -> HostAllocation:
        """Ask the host for the file, past the store."""
        whole = await trio.to_thread.run_sync(host_allocation, self.backing.data_file)
        if self.place is None:
            return whole
        ranges = self.place.within(whole.ranges)
        # What the host holds in units of its own can't be divided: it is the whole file's.
        return replace(whole, ranges=ranges, held=ranges if whole.maps_what_it_holds else whole.held)

    async def ledger(self) -> LedgerTotals:
        """Ask the backing store for the data file's totals."""
        by_file = await self.backing.store.totals_by_file()
        totals = by_file.get(DATA_FILE)
        if totals is None:
            return LedgerTotals(0, 0, 0)
        return LedgerTotals(totals.events, totals.punched_bytes, totals.freed)

    async def written_bytes(self) -> int:
        """The kernel's count of bytes written to the data device."""
        return kernel_view.traffic(self.data_device).written_bytes - self.written_at_start

    async def set_faults(self, plan: FaultPlan) -> None:
        """Tell the backing store."""
        await self.backing.store.set_faults(plan)

    async def events(self, since: int) -> Sequence[LedgerEvent]:
        """Ask the backing store."""
        events = [event for event in await self.backing.store.events(since) if event.file == DATA_FILE]
        return events if self.place is None else self.place.events(events)

    @abstractmethod
    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """Return every thin id's mappings."""

    @abstractmethod
    async def check(self) -> list[str]:
        """Run the metadata checker; empty when the pool is sound."""

    @abstractmethod
    def subject_environment(self) -> Mapping[str, str]:
        """Return what a snapshotter in a process of its own needs in its environment. Call it once."""

    @abstractmethod
    async def take_activity(self) -> tuple[Activity, ...]:
        """Return what was done to thin devices since the last call, by whom ever."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """What makes file systems on thin devices, mounts them and writes to them."""

    host: SnapshotHost
    mounter: RecordedMounter
    workload: Workload
    files: SnapshotFiles


def equipment(
    stack: AsyncExitStack, directory: Path, pool: str, journal: Journal, contents: Contents
) -> Equipment:
    """Return what works on *pool* with files in *directory*; *stack* unmounts what is still mounted."""
    mounter = RecordedMounter(journal)
    stack.push_async_callback(mounter.unmount_all)
    files = MountedFiles(mounter, directory / "files")
    if contents.played is not None:
        played = ReplayingHost(open_played_node, pool, contents.played)
        return Equipment(played, mounter, played, files)
    host = LinuxHost(mounter, directory / "lost+found")
    workload = MountedWorkload(mounter, directory / "root", contents.image, contents.container_bytes)
    return Equipment(host, mounter, workload, files)
