"""The plane is held for each change that could take a data block from a reader, and for no other."""

import errno

import pytest

from tests.dm.logged_planes import LoggedPlanes
from tests.dm.small_pool import BLOCK, SmallPool, refusal


async def test_a_write_that_provisions_holds_nothing(logged_pool: SmallPool, planes: LoggedPlanes) -> None:
    await logged_pool.start("thin")
    planes.made.log.clear()
    await logged_pool.write("thin", 2, 3)
    assert planes.made.log == ["changing 2 3", "take over"]
    planes.made.log.clear()
    await logged_pool.write("thin", 2, 3)
    assert planes.made.log == []


async def test_breaking_of_sharing_and_a_discard_hold_the_plane(
    logged_pool: SmallPool, planes: LoggedPlanes
) -> None:
    await logged_pool.start("thin")
    await logged_pool.write("thin", 0, 2)
    await logged_pool.dm.message("pool", 0, "create_snap 5 0")
    planes.made.log.clear()
    await logged_pool.write("thin", 0)
    assert planes.made.log == ["hold", "idle", "changing 0 1", "release"]
    planes.made.log.clear()
    await logged_pool.write("thin", 1, 2)  # a shared block, and a new one
    assert planes.made.log == ["hold", "idle", "changing 1 2", "release"]
    planes.made.log.clear()
    await logged_pool.dm.volume("thin").discard(0, BLOCK)
    assert planes.made.log == ["hold", "idle", "changing 0 1", "release"]


async def test_lost_mappings_are_forgotten_before_the_writes_error(
    logged_pool: SmallPool, planes: LoggedPlanes, caplog: pytest.LogCaptureFixture
) -> None:
    await logged_pool.start("thin")
    await logged_pool.dm.message("pool", 0, "create_thin 6")  # commits
    await logged_pool.write("thin", 0, 8)
    planes.made.log.clear()
    logged_pool.data.fails = {"flush"}  # The commit that might free a block flushes.
    await refusal(errno.EIO, logged_pool.write, "thin", 9)
    assert planes.made.log == ["changing 9 1", "take over", "hold", "idle", "release"]
    assert await logged_pool.mode() == "ro"
