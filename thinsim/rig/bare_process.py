"""The bare rig in this process: the engine on two sparse files, no root, no nodes, no file systems."""

import errno
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thinsim.block.interface import BlockDevice
from thinsim.block.sparse import SparseBlockDevice
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.runner import in_place
from thinsim.dm.metadata_device import MetadataFile
from thinsim.errors import DeviceMapperError
from thinsim.rig.host_file import host_allocation
from thinsim.rig.interface import HostAllocation, PoolShape
from thinsim.snapshotter.interface import Mount
from thinsim.thin.mapping import Run

if TYPE_CHECKING:
    from thinsim.snapshotter.host import Mounter


class HoldableNodes(NoNodes):
    """No nodes, but devices that count as open while they are in *held*."""

    def __init__(self) -> None:
        super().__init__()
        self.held: set[str] = set()

    async def is_open(self, name: str) -> bool:
        """See Nodes."""
        return name in self.held

    async def detach(self, name: str, *, deferred: bool) -> bool:
        """See Nodes."""
        if name not in self.held:
            return True
        if not deferred:
            raise DeviceMapperError(errno.EBUSY, f"device {name} is open")
        return False


class BlockHost:
    """A SnapshotHost without file systems: mkfs writes one data block, there is no lost+found."""

    def __init__(self, dm: LocalDeviceMapper, block_bytes: int) -> None:
        self._dm = dm
        self._block_bytes = block_bytes

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        """Write the first block."""
        await self._dm.volume(device.name).write(0, b"\xa5" * self._block_bytes)

    async def discard(self, device: Path, step: int | None = None) -> None:
        """Discard all of it, as blkdiscard would."""
        await self._dm.volume(device.name).discard_whole(step)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        """There is none."""


@dataclass(slots=True)
class BareProcessRig:
    """A BareRig that stands; see the module. Made by :func:`stand_up`."""

    shape: PoolShape
    dm: LocalDeviceMapper
    host: BlockHost
    directory: Path
    _nodes: HoldableNodes
    mounter: "Mounter | None" = None
    name: str = "process"

    def open_metadata(self, device: str) -> MetadataFile:
        """Open the file, which has no number."""
        return MetadataFile(self.directory / "metadata")

    async def write(self, device: str, offset: int, data: bytes) -> None:
        """See BareRig."""
        await self.dm.volume(device).write(offset, data)

    async def read(self, device: str, offset: int, length: int) -> bytes:
        """See BareRig."""
        return await self.dm.volume(device).read(offset, length)

    @asynccontextmanager
    async def holding_open(self, device: str) -> AsyncIterator[None]:
        """See BareRig."""
        self._nodes.held.add(device)
        try:
            yield
        finally:
            self._nodes.held.discard(device)
            await self.dm.gone(device)

    async def host_allocation(self) -> HostAllocation:
        """See BareRig."""
        await self.dm.status(self.shape.name)
        return host_allocation(self.directory / "data")

    async def host_bytes(self) -> int:
        """See BareRig."""
        return (await self.host_allocation()).allocated

    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """See BareRig."""
        return await self.dm.pool(self.shape.name).mappings()

    async def check(self) -> list[str]:
        """See BareRig."""
        return await self.dm.pool(self.shape.name).check()


@asynccontextmanager
async def stand_up(directory: Path, shape: PoolShape) -> AsyncIterator[BareProcessRig]:
    """Stand the rig up in *directory*, which exists and keeps the two files."""
    devices: dict[str, BlockDevice] = {
        "data": SparseBlockDevice.create(directory / "data", shape.data_size),
        "metadata": SparseBlockDevice.create(directory / "metadata", shape.metadata_size),
    }
    nodes = HoldableNodes()
    dm = LocalDeviceMapper(nodes, devices.__getitem__, in_place)
    async with dm.running():
        await dm.create(shape.name, shape.table("metadata", "data"))
        yield BareProcessRig(shape, dm, BlockHost(dm, shape.block_bytes), directory, nodes)
        nodes.held.clear()
