"""`BlockHost` serves a snapshotter in this process, where devices have no nodes and no file systems."""

import errno
from pathlib import Path

from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.errors import DeviceMapperError
from thinsim.snapshotter.interface import Mount


class HoldableNodes(NoNodes):
    """`HoldableNodes` makes no nodes; a device counts as open while its name is in *held*."""

    def __init__(self) -> None:
        super().__init__()
        self.held: set[str] = set()

    async def is_open(self, name: str) -> bool:
        return name in self.held

    async def detach(self, name: str, *, deferred: bool) -> bool:
        if name not in self.held:
            return True
        if not deferred:
            raise DeviceMapperError(errno.EBUSY, f"device {name} is open")
        return False


class BlockHost:
    """A `BlockHost` is a SnapshotHost without file systems: mkfs writes one data block."""

    def __init__(self, dm: LocalDeviceMapper, block_bytes: int) -> None:
        self._dm = dm
        self._block_bytes = block_bytes

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        """Write the first data block."""
        await self._dm.volume(device.name).write(0, b"\xa5" * self._block_bytes)

    async def discard(self, device: Path, step: int | None = None) -> None:
        """Discard the whole device, as blkdiscard does."""
        await self._dm.volume(device.name).discard_whole(step)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        """Do nothing: without a file system no lost+found exists."""
