"""Every test that takes ``rig``, ``tapped`` or ``snapshotter`` runs once on each rig.

``pytestmark = rigs("process")`` in a module, or ``@rigs(...)`` on a test, chooses among them. A test of calls
and states alone need not run on the other rigs, which are a hundred times slower.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.snapshotter.snapshotter_rigs import RIGS, fresh_rig
from tests.snapshotter.tapped_snapshotters import TappedSnapshotters
from thinsim.rig.interface import Rig
from thinsim.snapshotter.interface import Snapshotter


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rigs(*names): the rigs that a snapshotter test runs on")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rig" not in metafunc.fixturenames:
        return
    chosen = metafunc.definition.get_closest_marker("rigs")
    names = list(RIGS) if chosen is None else chosen.args
    metafunc.parametrize(
        "rig",
        [pytest.param(name, marks=RIGS[name]) for name in names],
        indirect=True,
    )


@pytest.fixture
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    directory = tmp_path / "rig"
    directory.mkdir()
    async with fresh_rig(request.param, directory) as rig:
        yield rig
        assert await rig.check() == []


@pytest.fixture
async def tapped(rig: Rig, tmp_path: Path) -> AsyncIterator[TappedSnapshotters]:
    tapped = TappedSnapshotters(rig, tmp_path / "root")
    yield tapped
    await tapped.close()


@pytest.fixture
async def snapshotter(tapped: TappedSnapshotters) -> Snapshotter:
    return await tapped.open()
