"""What bare rigs with nodes have in common: loop devices on a FUSE store, ``/dev/mapper``, real mounts."""

import errno
import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from thinsim.dm.interface import DeviceMapper
from thinsim.machine.journal import Journal
from thinsim.machine.mounts import RecordedMounter
from thinsim.rig.backing import DataBacking
from thinsim.rig.host_file import host_allocation
from thinsim.rig.interface import HostAllocation, PoolShape
from thinsim.rig.loop_rig import flush_device
from thinsim.snapshotter.host import LinuxHost
from thinsim.snapshotter.pool_contents import ClosableStore, open_node
from thinsim.thin.mapping import Run


@dataclass(slots=True, kw_only=True)
class BareNodesRig(ABC):
    """A BareRig that stands, but for its name, its mappings and its metadata checker."""

    shape: PoolShape
    dm: DeviceMapper
    host: LinuxHost
    mounter: RecordedMounter
    directory: Path
    backing: DataBacking
    name: str

    def open_metadata(self, device: str) -> ClosableStore:
        """Open the device."""
        return open_node(device)

    async def write(self, device: str, offset: int, data: bytes) -> None:
        """See BareRig."""
        await trio.to_thread.run_sync(_write, self.dm.path(device), offset, data)

    async def read(self, device: str, offset: int, length: int) -> bytes:
        """See BareRig."""
        return await trio.to_thread.run_sync(_read, self.dm.path(device), offset, length)

    @asynccontextmanager
    async def holding_open(self, device: str) -> AsyncIterator[None]:
        """See BareRig. An exclusive claim: the emulated device-mapper sees no other opening."""
        path = self.dm.path(device)
        fd = await trio.to_thread.run_sync(os.open, path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
        try:
            yield
        finally:
            os.close(fd)

    async def host_allocation(self) -> HostAllocation:
        """See BareRig."""
        await self.dm.status(self.shape.name)
        await trio.to_thread.run_sync(flush_device, self.backing.data.path)
        return await trio.to_thread.run_sync(host_allocation, self.backing.data_file)

    async def host_bytes(self) -> int:
        """See BareRig."""
        return (await self.host_allocation()).allocated

    @abstractmethod
    async def mappings(self) -> Mapping[int, Sequence[Run]]:
        """See BareRig."""

    @abstractmethod
    async def check(self) -> list[str]:
        """See BareRig."""


def host_of_its_own(
    stack: AsyncExitStack, directory: Path, journal: Journal
) -> tuple[LinuxHost, RecordedMounter]:
    """Return what makes file systems and what mounts them; *stack* unmounts what is still mounted."""
    mounter = RecordedMounter(journal)
    stack.push_async_callback(mounter.unmount_all)
    return LinuxHost(mounter, directory / "lost+found"), mounter


def _write(device: Path, offset: int, data: bytes) -> None:
    with mmap.mmap(-1, max(len(data), 1)) as buffer:
        buffer[:] = data
        fd = os.open(device, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        try:
            if os.pwrite(fd, buffer, offset) != len(data):
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(device))
        finally:
            os.close(fd)


def _read(device: Path, offset: int, length: int) -> bytes:
    with mmap.mmap(-1, length) as buffer:
        fd = os.open(device, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        try:
            done = os.preadv(fd, [buffer], offset)
        finally:
            os.close(fd)
        return buffer[:done]
