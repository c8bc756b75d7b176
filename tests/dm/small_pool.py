"""A `SmallPool` has eight blocks and runs in this process, on two devices that can fail."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.dm.memory_device import MemoryDevice
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.pool.plane import Plane
from thinsim.dm.emulator.runner import Runner
from thinsim.dm.metadata_device import MetadataDevice
from thinsim.errors import DeviceMapperError
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.status import parse_pool_status

BLOCK = 65536
TABLE = f"0 {8 * 128} thin-pool metadata data 128 0"


class SmallPool:
    """A `SmallPool` has eight blocks and thin devices of sixteen blocks."""

    def __init__(self, dm: LocalDeviceMapper, data: MemoryDevice, metadata: MemoryDevice) -> None:
        self.dm = dm
        self.data = data
        self.metadata = metadata

    async def start(self, *names: str, features: str = "") -> None:
        await self.dm.create("pool", f"{TABLE} {features}".rstrip())
        for number, name in enumerate(names):
            await self.dm.message("pool", 0, f"create_thin {number}")
            await self.dm.create(name, f"0 {16 * 128} thin /dev/mapper/pool {number}")

    async def write(self, name: str, block: int, count: int = 1) -> None:
        await self.dm.volume(name).write(block * BLOCK, b"x" * (count * BLOCK))

    async def mode(self) -> str:
        return parse_pool_status(await self.dm.status("pool", noflush=True)).mode

    def saved_mappings(self) -> int:
        copy = MemoryDevice(self.metadata.size)
        copy.content[:] = self.metadata.content
        metadata = PoolMetadata(MetadataDevice(copy), 128)
        return sum(metadata.details(thin_id).mapped_blocks for thin_id in metadata.thin_ids())


@asynccontextmanager
async def running_pool(run: Runner, plane: Plane | None = None) -> AsyncIterator[SmallPool]:
    data, metadata = MemoryDevice(8 * BLOCK), MemoryDevice(1 << 20)
    devices = {"data": data, "metadata": metadata}
    async with LocalDeviceMapper(NoNodes(), devices.__getitem__, run, plane=plane).running() as dm:
        yield SmallPool(dm, data, metadata)
    assert (data.closed, metadata.closed) == (1, 1)


async def refusal(number: int, *call: object) -> None:
    function, *arguments = call
    with pytest.raises(DeviceMapperError) as caught:
        await function(*arguments)  # type: ignore[operator]
    assert caught.value.errno == number
