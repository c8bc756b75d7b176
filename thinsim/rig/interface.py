"""Says what a rig gives a scenario: a pool for a snapshotter, a workload to run, measurements."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from fuse_backing.events import LedgerEvent
from fuse_backing.faults import FaultPlan
from thinsim.dm.interface import DeviceMapper
from thinsim.rig.shape import PoolShape
from thinsim.snapshotter.host import Mounter, SnapshotHost
from thinsim.snapshotter.pool_contents import ClosableStore
from thinsim.thin.mapping import Run
from thinsim.workload.files import SnapshotFiles
from thinsim.workload.interface import Workload

_LEAST_WRITE = 4096


@dataclass(frozen=True, slots=True)
class HostAllocation:
    """What the host has allocated for the pool's data file, asked of the host itself, not of the store.

    *ranges* are (start, end) in bytes, sorted, disjoint: what the file maps. *file_blocks* is ``st_blocks``
    in bytes, which also counts the host file system's own blocks for the file's extent tree.
    """

    ranges: Sequence[tuple[int, int]]
    file_blocks: int
    held: Sequence[tuple[int, int]] = field(kw_only=True)
    """What the host holds for the file, in its own addresses: whole extents, clusters or pages. The same as
    *ranges* on most hosts; see ``fuse_backing.accounting``."""
    unit: int = field(default=4096, kw_only=True)
    """The least that a write makes the host allocate, bytes."""
    maps_what_it_holds: bool = field(default=True, kw_only=True)
    """Whether *held* is *ranges*."""

    @property
    def allocated(self) -> int:
        """Bytes that the host holds for the data file."""
        return sum(end - start for start, end in self.held)

    def most_grown_by(self, written: int) -> int:
        """Return the most that *written* bytes, in blocks of 4096 at least, made the host allocate."""
        return written * max(1, self.unit // _LEAST_WRITE)


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """The store's account of the data file so far: bytes, each measured at the punch."""

    punches: int
    punched: int
    freed: int


class Rig(Protocol):
    """A pool that runs, and what goes with it. A rig's record makes one and tears it down (``record.py``)."""

    @property
    def name(self) -> str:
        """The rig's word on the command line."""

    @property
    def shape(self) -> PoolShape:
        """The shape of the pool."""

    @property
    def dm(self) -> DeviceMapper:
        """The device-mapper, where the pool is a device named ``shape.name``."""

    @property
    def host(self) -> SnapshotHost:
        """Makes file systems and discards for the snapshotter."""

    @property
    def mounter(self) -> Mounter | None:
        """Mounts what ``host`` made a file system on; None where devices have no nodes."""

    @property
    def workload(self) -> Workload:
        """The image and the container."""

    @property
    def files(self) -> SnapshotFiles:
        """The files of a snapshot's mounts."""

    @property
    def directory(self) -> Path:
        """The rig's own directory on the host."""

    def open_metadata(self, device: str) -> ClosableStore:
        """Open the pool's metadata device for reading; see ``pool_contents``."""

    async def write(self, device: str, offset: int, data: bytes) -> None:
        """Write to an active device, past every cache. ``OSError`` or DeviceMapperError."""

    async def read(self, device: str, offset: int, length: int) -> bytes:
        """Read from an active device, past every cache."""

    def holding_open(self, device: str) -> AbstractAsyncContextManager[None]:
        """Have an active device open, so that device-mapper calls it in use."""

    async def settle(self) -> None:
        """Return once the pool is committed and everything written has reached the host file."""

    async def host_allocation(self) -> HostAllocation:
        """Ask the host, as things are: ``settle`` comes first where everything written is to count."""

    async def ledger(self) -> LedgerTotals:
        """Ask the store."""

    async def written_bytes(self) -> int:
        """Bytes written to the pool's data device so far, where possible counted by neither of the two."""

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """Return every thin id's mappings."""

    async def check(self) -> list[str]:
        """Run the metadata checker; empty when the pool is sound."""

    async def set_faults(self, plan: FaultPlan) -> None:
        """Put planned faults of the data file in force instead of any others; an empty plan clears."""

    async def events(self, since: int) -> Sequence[LedgerEvent]:
        """Return the store's events on the data file with a sequence number above *since*."""
