"""The contract suite runs on each entry of `MAPPERS`: add one here and every test runs on it."""

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
import trio

from fuse_backing.fuse_uring import IO_URING
from tests.fuse_transports import TRANSPORTS, missing_for
from thinsim.block import loop
from thinsim.block.interface import BlockDevice
from thinsim.block.linux import BLKDISCARD
from thinsim.block.loop_limits import kernel_clears_limits
from thinsim.block.sparse import SparseBlockDevice
from thinsim.dm.clients import kernel_metadata
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.clients.kernel import KernelDeviceMapper
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.runner import on_thread
from thinsim.dm.interface import DeviceMapper
from thinsim.errors import DeviceMapperError
from thinsim.machine.fuse_transport import VARIABLE
from thinsim.machine.journal import Journal
from thinsim.rig.emulated_stack import EmulatedStack, open_stack
from thinsim.rig.shape import PoolShape
from thinsim.units import Bytes

BLOCK = 65536
POOL_BLOCKS = 1024
DATA_SIZE = Bytes(POOL_BLOCKS * BLOCK)
METADATA_SIZE = Bytes(8 << 20)
POOL = "bench-pool"


StackOpener = Callable[[Path, PoolShape, Journal], AbstractAsyncContextManager[EmulatedStack]]


class MapperUnderTest(Protocol):
    """A `MapperUnderTest` has a device-mapper and two devices for a pool. Its I/O raises ``OSError``."""

    dm: DeviceMapper
    metadata_dev: str
    data_dev: str
    no_space: tuple[int, ...]
    """The errnos that a write without a free block may fail with."""
    refuses_discards: bool
    """A discard under ignore_discard is an error, as in the kernel."""
    names_arguments: bool
    """A refusal repeats the argument that it is about."""

    async def write(self, name: str, offset: int, data: bytes) -> None:
        """Write, past every cache."""

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """Read, past every cache."""

    async def discard(self, name: str, offset: int, length: int) -> None:
        """Discard the range."""

    async def flush(self, name: str) -> None:
        """Flush the device."""

    async def check(self, pool: str) -> Sequence[str]:
        """Run the metadata checker."""


def pool_table(mapper: MapperUnderTest, rest: str = "0 0", blocks: int = POOL_BLOCKS) -> str:
    """Return a pool's table; *rest* is the low water mark and the features."""
    return (
        f"0 {blocks * BLOCK // 512} thin-pool {mapper.metadata_dev} {mapper.data_dev} {BLOCK // 512} {rest}"
    )


def thin_table(thin_id: int, blocks: int = 32, pool: str = POOL) -> str:
    """Return a thin device's table."""
    return f"0 {blocks * BLOCK // 512} thin /dev/mapper/{pool} {thin_id}"


async def make_pool(mapper: MapperUnderTest, rest: str = "0 0", blocks: int = POOL_BLOCKS) -> None:
    """Create the pool."""
    await mapper.dm.create(POOL, pool_table(mapper, rest, blocks))


async def make_thin(mapper: MapperUnderTest, name: str, thin_id: int, blocks: int = 32) -> None:
    """Create a thin id and its device."""
    await mapper.dm.message(POOL, 0, f"create_thin {thin_id}")
    await mapper.dm.create(name, thin_table(thin_id, blocks))


async def snap(
    mapper: MapperUnderTest, name: str, thin_id: int, origin: str, origin_id: int, blocks: int = 32
) -> None:
    """Snapshot an active device properly, while it is suspended."""
    await mapper.dm.suspend(origin)
    await mapper.dm.message(POOL, 0, f"create_snap {thin_id} {origin_id}")
    await mapper.dm.resume(origin)
    await mapper.dm.create(name, thin_table(thin_id, blocks))


@dataclass
class ProcessMapper:
    """A `ProcessMapper` runs everything in this process, on sparse files."""

    dm: LocalDeviceMapper
    metadata_dev: str
    data_dev: str
    no_space: tuple[int, ...] = (errno.ENOSPC,)
    refuses_discards: bool = True
    names_arguments: bool = True

    async def write(self, name: str, offset: int, data: bytes) -> None:
        try:
            await self.dm.volume(name).write(offset, data)
        except DeviceMapperError as error:
            raise OSError(error.errno, str(error)) from error

    async def read(self, name: str, offset: int, length: int) -> bytes:
        try:
            return await self.dm.volume(name).read(offset, length)
        except DeviceMapperError as error:
            raise OSError(error.errno, str(error)) from error

    async def discard(self, name: str, offset: int, length: int) -> None:
        try:
            await self.dm.volume(name).discard(offset, length)
        except DeviceMapperError as error:
            raise OSError(error.errno, str(error)) from error

    async def flush(self, name: str) -> None:
        await self.dm.volume(name).flush()

    async def check(self, pool: str) -> Sequence[str]:
        return await self.dm.pool(pool).check()


@dataclass
class EmulatedMapper:
    """An `EmulatedMapper` has the daemon's thin devices, through ``/dev/mapper`` and the kernel."""

    stack: EmulatedStack
    dm: EmulatedDeviceMapper
    metadata_dev: str
    data_dev: str
    no_space: tuple[int, ...] = (errno.ENOSPC, errno.EIO)  # older loop drivers know only EIO
    # Older loop drivers continue to send discards; the block layer treats EOPNOTSUPP as done.
    refuses_discards: bool = field(default_factory=kernel_clears_limits)
    names_arguments: bool = True

    async def write(self, name: str, offset: int, data: bytes) -> None:
        await trio.to_thread.run_sync(direct_write, self.dm.path(name), offset, data)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        return await trio.to_thread.run_sync(direct_read, self.dm.path(name), offset, length)

    async def discard(self, name: str, offset: int, length: int) -> None:
        await trio.to_thread.run_sync(block_discard, self.dm.path(name), offset, length)

    async def flush(self, name: str) -> None:
        await trio.to_thread.run_sync(sync_device, self.dm.path(name))

    async def check(self, pool: str) -> Sequence[str]:
        return await self.dm.check(pool)


@dataclass
class KernelMapper:
    """A `KernelMapper` has the kernel's own thin devices, on loop devices on plain files."""

    dm: KernelDeviceMapper
    metadata_dev: str
    data_dev: str
    metadata_file: Path
    no_space: tuple[int, ...] = (errno.ENOSPC,)
    refuses_discards: bool = True
    names_arguments: bool = False

    async def write(self, name: str, offset: int, data: bytes) -> None:
        await trio.to_thread.run_sync(direct_write, self.dm.path(name), offset, data)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        return await trio.to_thread.run_sync(direct_read, self.dm.path(name), offset, length)

    async def discard(self, name: str, offset: int, length: int) -> None:
        await trio.to_thread.run_sync(block_discard, self.dm.path(name), offset, length)

    async def flush(self, name: str) -> None:
        await trio.to_thread.run_sync(sync_device, self.dm.path(name))

    async def check(self, pool: str) -> Sequence[str]:
        return await kernel_metadata.check(self.dm, pool, self.metadata_file)


@asynccontextmanager
async def process_mapper(directory: Path) -> AsyncIterator[ProcessMapper]:
    """Start a mapper without root."""
    for name, size in (("data", DATA_SIZE), ("metadata", METADATA_SIZE)):
        SparseBlockDevice.create(directory / name, size).close()

    def open_block(path: str) -> BlockDevice:
        return SparseBlockDevice(Path(path))

    async with LocalDeviceMapper(NoNodes(), open_block, on_thread).running() as dm:
        yield ProcessMapper(dm, str(directory / "metadata"), str(directory / "data"))


@asynccontextmanager
async def emulated_mapper(
    directory: Path, data_size: Bytes = DATA_SIZE, opened: StackOpener = open_stack
) -> AsyncIterator[EmulatedMapper]:
    """Start a mapper with servers, FUSE and loop devices; one at a time, since all have the same names.

    *opened* sets up what is below a pool.
    """
    journal = Journal.create()
    shape = PoolShape("pool", data_size=data_size, metadata_size=METADATA_SIZE)
    with _names_in_dev():
        async with opened(directory, shape, journal) as stack:
            yield EmulatedMapper(stack, stack.dm, str(stack.metadata.path), str(stack.data.path))
    journal.close()


@asynccontextmanager
async def emulated_over_io_uring(directory: Path) -> AsyncIterator[EmulatedMapper]:
    """Start an emulated mapper whose requests come through io_uring, or skip the test with the reason."""
    missing = missing_for(IO_URING.name)
    if missing is not None:
        pytest.skip(missing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, TRANSPORTS[IO_URING.name])
        async with emulated_mapper(directory) as mapper:
            assert await mapper.dm.transport() == IO_URING
            yield mapper
        assert mapper.stack.dm_server.process.returncode == 0, "it was killed"


@contextmanager
def _names_in_dev() -> Iterator[None]:
    handle = os.open("/dev", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@asynccontextmanager
async def kernel_mapper(directory: Path) -> AsyncIterator[KernelMapper]:
    """Start a mapper in the kernel; devices that a test leaves there are removed."""
    dm = KernelDeviceMapper()
    files = directory / "data", directory / "metadata"
    devices = []
    for file, size in zip(files, (DATA_SIZE, METADATA_SIZE), strict=True):
        SparseBlockDevice.create(file, size).close()
        devices.append(loop.attach(file))
    before = set(await dm.list())
    try:
        yield KernelMapper(dm, str(devices[1].path), str(devices[0].path), files[1])
    finally:
        # Thins first, then the pool below them.
        for name in sorted(set(await dm.list()) - before, key=lambda each: each == POOL):
            await dm.resume(name)
            await dm.remove(name, retry=True)
        for device in devices:
            loop.detach(device)


MAPPERS: dict[str, Callable[[Path], AbstractAsyncContextManager[MapperUnderTest]]] = {
    "process": process_mapper,
    "emulated": emulated_mapper,
    "emulated over io_uring": emulated_over_io_uring,
    "kernel": kernel_mapper,
}


def direct_write(device: Path, offset: int, data: bytes) -> None:
    """Write with O_DIRECT."""
    with mmap.mmap(-1, max(len(data), 1)) as buffer:
        buffer[:] = data
        fd = os.open(device, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        try:
            done = os.pwrite(fd, buffer, offset)
        finally:
            os.close(fd)
    assert done == len(data)


def direct_read(device: Path, offset: int, length: int) -> bytes:
    """Read with O_DIRECT."""
    with mmap.mmap(-1, length) as buffer:
        fd = os.open(device, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        try:
            done = os.preadv(fd, [buffer], offset)
        finally:
            os.close(fd)
        return buffer[:done]


def block_discard(device: Path, offset: int, length: int) -> None:
    """Discard with BLKDISCARD."""
    fd = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", offset, length))
    finally:
        os.close(fd)


def sync_device(device: Path) -> None:
    """Flush the node with fsync(2)."""
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def failing(*numbers: int) -> Iterator[None]:
    """Expect an ``OSError`` with one of *numbers*."""
    with pytest.raises(OSError, match=r"\[Errno \d+\]") as caught:
        yield
    assert caught.value.errno in numbers


def refused(number: int, text: str = "") -> AbstractContextManager[object]:
    """Expect a DeviceMapperError with *number* whose text matches *text*."""
    return pytest.raises(DeviceMapperError, match=rf"{text}.*\({errno.errorcode[number]}\)")


def about(mapper: MapperUnderTest, complaint: str, argument: str) -> str:
    """Return the pattern of a refusal: *complaint*, and *argument* if *mapper* repeats it."""
    return f"{complaint}.*{argument}" if mapper.names_arguments else complaint
