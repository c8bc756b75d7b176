"""The plane is held for each change that could take a data block from a reader, and for no other."""

import errno
from collections.abc import AsyncIterator

import pytest

from tests.dm.small_pool import BLOCK, SmallPool, refusal, running_pool
from thinsim.block.interface import BlockDevice
from thinsim.dm.emulator.pool.plane import NoPlane, NoPoolPlane
from thinsim.dm.emulator.runner import in_place
from thinsim.dm.write_trace import WriteTrace
from thinsim.thin.device import ThinDevice
from thinsim.thin.pool import Pool


class LoggedPlane(NoPoolPlane):
    """A `LoggedPlane` serves nothing, and writes down what it is asked to do."""

    def __init__(self, engine: Pool) -> None:
        super().__init__()
        self.log: list[str] = []
        self._engine = engine
        self._epoch = engine.transaction.epoch

    def hold(self) -> None:
        self.log.append("hold")

    async def idle(self) -> None:
        self.log.append("idle")

    def release(self) -> None:
        self._epoch = self._engine.transaction.epoch
        self.log.append("release")

    def changing(self, device: ThinDevice, offset: int, length: int) -> None:
        self.log.append(f"changing {offset // BLOCK} {length // BLOCK}")

    def take_over(self) -> bool:
        self.log.append("take over")
        return self._epoch == self._engine.transaction.epoch


class LoggedPlanes(NoPlane):
    """A `LoggedPlanes` makes one `LoggedPlane`."""

    made: LoggedPlane

    def of_pool(self, engine: Pool, data: BlockDevice, trace: WriteTrace) -> LoggedPlane:
        self.made = LoggedPlane(engine)
        return self.made


@pytest.fixture
def planes() -> LoggedPlanes:
    return LoggedPlanes()


@pytest.fixture
async def pool(planes: LoggedPlanes) -> AsyncIterator[SmallPool]:
    async with running_pool(in_place, planes) as pool:
        yield pool


async def test_a_write_that_provisions_holds_nothing(pool: SmallPool, planes: LoggedPlanes) -> None:
    await pool.start("thin")
    planes.made.log.clear()
    await pool.write("thin", 2, 3)
    assert planes.made.log == ["changing 2 3", "take over"]
    planes.made.log.clear()
    await pool.write("thin", 2, 3)
    assert planes.made.log == []


async def test_breaking_of_sharing_and_a_discard_hold_the_plane(
    pool: SmallPool, planes: LoggedPlanes
) -> None:
    await pool.start("thin")
    await pool.write("thin", 0, 2)
    await pool.dm.message("pool", 0, "create_snap 5 0")
    planes.made.log.clear()
    await pool.write("thin", 0)
    assert planes.made.log == ["hold", "idle", "changing 0 1", "release"]
    planes.made.log.clear()
    await pool.write("thin", 1, 2)  # a shared block, and a new one
    assert planes.made.log == ["hold", "idle", "changing 1 2", "release"]
    planes.made.log.clear()
    await pool.dm.volume("thin").discard(0, BLOCK)
    assert planes.made.log == ["hold", "idle", "changing 0 1", "release"]


async def test_lost_mappings_are_forgotten_before_the_writes_error(
    pool: SmallPool, planes: LoggedPlanes, caplog: pytest.LogCaptureFixture
) -> None:
    await pool.start("thin")
    await pool.dm.message("pool", 0, "create_thin 6")  # commits
    await pool.write("thin", 0, 8)
    planes.made.log.clear()
    pool.data.fails = {"flush"}  # The commit that might free a block flushes.
    await refusal(errno.EIO, pool.write, "thin", 9)
    assert planes.made.log == ["changing 9 1", "take over", "hold", "idle", "release"]
    assert await pool.mode() == "ro"
