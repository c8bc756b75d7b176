"""The rigs that the snapshotter's suites run on: add one here and every suite runs on it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from snapshotter_bench import BLOCK, Rig
from tapped_device_mapper import POOL, TappedDeviceMapper

from thinsim.block.sparse import SparseBlockDevice
from thinsim.dm.local import LocalDeviceMapper
from thinsim.dm.nodes import NoNodes
from thinsim.dm.runner import in_place
from thinsim.thin.check import check

DATA_SIZE = 256 << 20
METADATA_SIZE = 4 << 20


@asynccontextmanager
async def process_rig(directory: Path) -> AsyncIterator[Rig]:
    """The engine in this process on sparse files; no root. Its metadata is checked at the end."""
    data = SparseBlockDevice.create(directory / "data", DATA_SIZE)
    metadata = SparseBlockDevice.create(directory / "metadata", METADATA_SIZE)
    devices = {"data": data, "metadata": metadata}
    dm = LocalDeviceMapper(NoNodes(), devices.__getitem__, in_place)

    async def write(name: str, size: int) -> None:
        for offset in range(0, size, BLOCK):
            await dm.volume(name).write(offset, b"\xa5" * min(BLOCK, size - offset))

    async def discard(name: str) -> None:
        volume = dm.volume(name)
        await volume.discard(0, volume.size)

    async with dm.running():
        await dm.create(POOL, f"0 {DATA_SIZE // 512} thin-pool metadata data {BLOCK // 512} 32768")
        yield Rig(TappedDeviceMapper(dm), write, discard, directory / "data")
        assert check(dm.pool(POOL).engine) == []


RIGS: dict[str, Callable[[Path], AbstractAsyncContextManager[Rig]]] = {"process": process_rig}
