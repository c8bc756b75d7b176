"""Every suite that takes ``rig``, ``bench`` or ``snapshotter`` runs once on each rig."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from snapshotter_bench import Bench, Rig
from snapshotter_rigs import RIGS

from thinsim.snapshotter.interface import Snapshotter


@pytest.fixture(params=list(RIGS))
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    directory = tmp_path / "rig"
    directory.mkdir()
    async with RIGS[request.param](directory) as rig:
        yield rig


@pytest.fixture
async def bench(rig: Rig, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(rig, tmp_path / "root")
    yield bench
    await bench.close()


@pytest.fixture
async def snapshotter(bench: Bench) -> Snapshotter:
    return await bench.open()
