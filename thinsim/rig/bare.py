"""A bare rig: a pool and nothing on it, whose thin devices a test or a scenario writes itself.

What stands below is what the rigs of the main job stand on; there is no image and no container.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from thinsim.dm.interface import DeviceMapper
from thinsim.rig.interface import HostAllocation, PoolShape
from thinsim.snapshotter.host import Mounter, SnapshotHost
from thinsim.snapshotter.pool_contents import ClosableStore
from thinsim.thin.mapping import Run


class BareRig(Protocol):
    """A pool that stands. Obtained from a context that tears it down."""

    @property
    def name(self) -> str:
        """The rig's word."""

    @property
    def shape(self) -> PoolShape:
        """The pool."""

    @property
    def dm(self) -> DeviceMapper:
        """Where the pool is a device, by ``shape.name``."""

    @property
    def host(self) -> SnapshotHost:
        """Makes file systems and discards for a snapshotter."""

    @property
    def mounter(self) -> Mounter | None:
        """Mounts what ``host`` made a file system on; None where devices have no nodes."""

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

    async def host_allocation(self) -> HostAllocation:
        """Commit the pool, flush it down and ask the host what it has allocated for the pool's data."""

    async def host_bytes(self) -> int:
        """The same in bytes."""

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """Return every thin id's mappings."""

    async def check(self) -> list[str]:
        """Run the metadata checker; empty when the pool is sound."""
