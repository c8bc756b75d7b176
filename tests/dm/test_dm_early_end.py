"""A write of new blocks ends when they are written and mapped, before the pool's own work on it ends."""

import errno
from collections.abc import AsyncIterator

import pytest

from tests.dm.small_pool import BLOCK, SmallPool, refusal, running_pool
from tests.dm.test_dm_plane_holds import LoggedPlanes
from thinsim.dm.emulator.runner import in_place


@pytest.fixture
def planes() -> LoggedPlanes:
    return LoggedPlanes()


@pytest.fixture
async def pool(planes: LoggedPlanes) -> AsyncIterator[SmallPool]:
    async with running_pool(in_place, planes) as pool:
        yield pool


async def write(pool: SmallPool, block: int, count: int, ended: list[str]) -> None:
    data = b"x" * (count * BLOCK)
    await pool.dm.volume("thin").write(block * BLOCK, data, lambda: ended.append("ended"))


async def test_a_write_ends_between_the_two_steps_of_the_plane(pool: SmallPool, planes: LoggedPlanes) -> None:
    await pool.start("thin")
    planes.made.log.clear()
    await write(pool, 2, 3, planes.made.log)
    assert planes.made.log == ["changing 2 3", "ended", "take over"]
    assert pool.data.content[:BLOCK] == b"x" * BLOCK


async def test_a_write_that_waits_for_space_does_not_end_early(pool: SmallPool) -> None:
    await pool.start("thin", features="1 error_if_no_space")
    ended: list[str] = []
    await refusal(errno.ENOSPC, write, pool, 0, 9, ended)
    assert not ended
    assert pool.data.content[-BLOCK:] == b"x" * BLOCK


async def test_a_write_that_fails_does_not_end_early(pool: SmallPool) -> None:
    await pool.start("thin")
    pool.data.fails = {"write"}
    ended: list[str] = []
    await refusal(errno.EIO, write, pool, 0, 2, ended)
    assert not ended


async def test_a_trace_has_a_write_before_it_ends(pool: SmallPool) -> None:
    await pool.start("thin")
    pool.dm.trace.start()
    ended: list[str] = []
    await write(pool, 0, 1, ended)
    assert not ended
