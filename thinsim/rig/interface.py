"""`Rig` is the protocol of every rig: a pool for a snapshotter, a workload to run, measurements."""

from collections.abc import Callable, Mapping, Sequence
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
    """A `HostAllocation` is the host's own account of the pool's data file, not the store's.

    *ranges* are the mapped ranges of the file as (start, end) in bytes, sorted and disjoint. *file_blocks* is
    ``st_blocks`` in bytes, which also counts the host file system's own blocks for the file's extent tree.
    """

    ranges: Sequence[tuple[int, int]]
    file_blocks: int
    held: Sequence[tuple[int, int]] = field(kw_only=True)
    """The space that the host holds for the file, in the host's addresses: whole extents, clusters or pages.
    It equals *ranges* on most hosts; see ``fuse_backing.accounting``."""
    unit: int = field(default=4096, kw_only=True)
    """The least number of bytes that the host allocates for a write."""
    maps_what_it_holds: bool = field(default=True, kw_only=True)
    """True if *held* is *ranges*."""

    @property
    def allocated(self) -> int:
        """Return the number of bytes that the host holds for the data file."""
        return sum(end - start for start, end in self.held)

    def most_grown_by(self, written: int) -> int:
        """Return the most bytes that the host allocates for *written* bytes, in writes of 4096 or more."""
        return written * max(1, self.unit // _LEAST_WRITE)


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """`LedgerTotals` sum up the store's ledger of the data file, in bytes; each punch was measured."""

    punches: int
    punched: int
    freed: int


@dataclass(frozen=True, slots=True)
class DataAccess:
    """A `DataAccess` leads to the data of a pool, past the pool."""

    words: str
    """The way in words."""
    file: Path
    """The data file on the host."""
    offset: int
    """The first byte of the pool's data in the file."""
    discard: Callable[[int, int], None]
    """Discards bytes of the data device, from an offset on. Blocking; raises ``OSError``."""


class Rig(Protocol):
    """A `Rig` is a pool that runs, with its devices and workload. Its record sets it up (``record.py``)."""

    @property
    def name(self) -> str:
        """Return the rig's name on the command line."""

    @property
    def shape(self) -> PoolShape:
        """Return the shape of the pool."""

    @property
    def dm(self) -> DeviceMapper:
        """Return the device-mapper, in which the pool is a device named ``shape.name``."""

    @property
    def host(self) -> SnapshotHost:
        """Return the host, which makes file systems and discards for the snapshotter."""

    @property
    def mounter(self) -> Mounter | None:
        """Return the mounter of the file systems that ``host`` made, or None if devices have no nodes."""

    @property
    def workload(self) -> Workload:
        """Return the workload: the image and the container."""

    @property
    def files(self) -> SnapshotFiles:
        """Return the access to the files in a snapshot's mounts."""

    @property
    def directory(self) -> Path:
        """Return the rig's own directory on the host."""

    def open_metadata(self, device: str) -> ClosableStore:
        """Open the pool's metadata device for reading; see ``pool_contents``."""

    async def write(self, device: str, offset: int, data: bytes) -> None:
        """Write *data* at *offset*, bytes, past every cache. Raises ``OSError`` or DeviceMapperError."""

    async def read(self, device: str, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset* of an active device, past every cache."""

    def holding_open(self, device: str) -> AbstractAsyncContextManager[None]:
        """Hold an active device open during the context, so that device-mapper reports it as in use."""

    async def settle(self) -> None:
        """Return once the pool has committed and all writes have reached the host file."""

    async def host_allocation(self) -> HostAllocation:
        """Return the host's allocation now. Call ``settle`` first if all writes have to count."""

    async def ledger(self) -> LedgerTotals:
        """Return the totals of the store's ledger for the data file."""

    async def written_bytes(self) -> int:
        """Return the bytes written to the data device; if possible, neither pool nor store counts them."""

    async def data_plane(self) -> str:
        """Return what serves the requests of thin devices, in words; empty if the kernel does.

        The words are ``PlaneTraffic.backend``, of the emulated device-mapper.
        """

    def data_access(self) -> DataAccess:
        """Return the way to the data of the pool, past the pool."""

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """Return the mappings of every thin id."""

    async def check(self) -> list[str]:
        """Run the metadata checker and return its complaints, none for a sound pool."""

    async def set_faults(self, plan: FaultPlan) -> None:
        """Replace the planned faults of the data file by *plan*; an empty plan clears them."""

    async def events(self, since: int) -> Sequence[LedgerEvent]:
        """Return the store's events on the data file whose sequence number is above *since*."""
