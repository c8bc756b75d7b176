"""The rigs that the snapshotter's suites run on: add one here and every suite runs on it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from bench import Rig
from device_mapper_double import DeviceMapperDouble
from tapped_device_mapper import POOL, TappedDeviceMapper


@asynccontextmanager
async def double_rig(directory: Path) -> AsyncIterator[Rig]:
    """No engine: thin ids and mapped sectors alone."""
    double = DeviceMapperDouble(POOL)

    async def write(name: str, size: int) -> None:
        double.write(name, size)

    async def discard(name: str) -> None:
        double.discard(name)

    yield Rig(TappedDeviceMapper(double), write, discard)


RIGS: dict[str, Callable[[Path], AbstractAsyncContextManager[Rig]]] = {"double": double_rig}
