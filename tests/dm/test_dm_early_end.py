"""A write of new blocks ends when they are written and mapped, before the pool's own work on it ends."""

import errno

from tests.dm.logged_planes import LoggedPlanes
from tests.dm.small_pool import BLOCK, SmallPool, refusal


async def write(pool: SmallPool, block: int, count: int, ended: list[str]) -> None:
    data = b"x" * (count * BLOCK)
    await pool.dm.volume("thin").write(block * BLOCK, data, lambda: ended.append("ended"))


async def test_a_write_ends_between_the_two_steps_of_the_plane(
    logged_pool: SmallPool, planes: LoggedPlanes
) -> None:
    await logged_pool.start("thin")
    planes.made.log.clear()
    await write(logged_pool, 2, 3, planes.made.log)
    assert planes.made.log == ["changing 2 3", "ended", "take over"]
    assert logged_pool.data.content[:BLOCK] == b"x" * BLOCK


async def test_a_write_that_waits_for_space_does_not_end_early(logged_pool: SmallPool) -> None:
    await logged_pool.start("thin", features="1 error_if_no_space")
    ended: list[str] = []
    await refusal(errno.ENOSPC, write, logged_pool, 0, 9, ended)
    assert not ended
    assert logged_pool.data.content[-BLOCK:] == b"x" * BLOCK


async def test_a_write_that_fails_does_not_end_early(logged_pool: SmallPool) -> None:
    await logged_pool.start("thin")
    logged_pool.data.fails = {"write"}
    ended: list[str] = []
    await refusal(errno.EIO, write, logged_pool, 0, 2, ended)
    assert not ended


async def test_a_trace_has_a_write_before_it_ends(logged_pool: SmallPool) -> None:
    await logged_pool.start("thin")
    logged_pool.dm.trace.start()
    ended: list[str] = []
    await write(logged_pool, 0, 1, ended)
    assert not ended
