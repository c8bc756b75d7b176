"""These fixtures give each test a device-mapper, and run the metadata checker at its end."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.dm.drop_in_machine import DropInMachine, machine_of_its_own
from tests.dm.logged_planes import LoggedPlanes
from tests.dm.mappers_under_test import MAPPERS, POOL, EmulatedMapper, MapperUnderTest, emulated_mapper
from tests.dm.small_pool import SmallPool, running_pool
from thinsim.dm.emulator.runner import in_place, on_thread


@pytest.fixture(
    params=[
        "process",
        pytest.param("emulated", marks=pytest.mark.rig),
        pytest.param("emulated over io_uring", marks=pytest.mark.rig),
        pytest.param("kernel", marks=pytest.mark.kernel),
    ]
)
async def mapper(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MapperUnderTest]:
    async with MAPPERS[request.param](tmp_path) as running:
        yield running
        await _check(running)


@pytest.fixture
async def emulated(tmp_path: Path) -> AsyncIterator[EmulatedMapper]:
    async with emulated_mapper(tmp_path) as running:
        yield running
        if running.stack.dm_server.process.poll() is None:
            await _check(running)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DropInMachine]:
    with machine_of_its_own(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture(params=[in_place, on_thread])
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[SmallPool]:
    async with running_pool(request.param) as pool:
        yield pool


@pytest.fixture
def planes() -> LoggedPlanes:
    return LoggedPlanes()


@pytest.fixture
async def logged_pool(planes: LoggedPlanes) -> AsyncIterator[SmallPool]:
    """Return a pool with a plane that notes its calls."""
    async with running_pool(in_place, planes) as pool:
        yield pool


async def _check(mapper: MapperUnderTest) -> None:
    if POOL in await mapper.dm.list():
        assert list(await mapper.check(POOL)) == []
