"""A pool changes mappings in the order of arrival, and a held write begins when the kernel's would."""

import errno
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.dm.mappers_under_test import BLOCK, POOL, MapperUnderTest, make_pool, make_thin
from tests.dm.small_pool import SmallPool, running_pool
from thinsim.dm.emulator.pool.arrivals import Arrivals
from thinsim.dm.emulator.runner import in_place

POOL_SIZE = 40
"""Blocks; a large write that is cut into requests of 1 MiB or less begins three of them."""


async def test_each_arrival_waits_for_the_earlier_ones() -> None:
    arrivals = Arrivals()
    seen: list[int] = []

    async def arrive(number: int, seconds: float, task_status: trio.TaskStatus[None]) -> None:
        with arrivals.arriving() as arrival:
            task_status.started()
            await trio.sleep(seconds)
            if number == 1:
                arrival.leave()
                return
            await arrival.first()
            seen.append(number)
            await trio.lowlevel.checkpoint()
            seen.append(number)

    async with trio.open_nursery() as nursery:
        for number, seconds in enumerate((0.03, 0.01, 0, 0.02, 0)):
            await nursery.start(arrive, number, seconds)
    assert seen == [0, 0, 2, 2, 3, 3, 4, 4]


async def test_a_cancelled_arrival_makes_room() -> None:
    arrivals = Arrivals()
    with arrivals.arriving() as first, trio.CancelScope() as scope:
        scope.cancel()
        await trio.sleep(1)
    with arrivals.arriving() as second:
        await second.first()
        await first.first()


async def test_a_write_larger_than_the_pool_fills_it_from_its_start(mapper: MapperUnderTest) -> None:
    """It reaches the device as several requests at once, which no lock may reorder."""
    await make_pool(mapper, "0 1 error_if_no_space", blocks=POOL_SIZE)
    await make_thin(mapper, "thin", 1, blocks=2 * POOL_SIZE)
    for turn in range(4):
        with pytest.raises(OSError, match=rf"\[Errno ({errno.ENOSPC}|{errno.EIO})\]"):
            await mapper.write("thin", 0, bytes([turn + 1]) * (2 * POOL_SIZE * BLOCK))
        sectors = POOL_SIZE * BLOCK // 512
        assert await mapper.dm.status("thin") == f"0 {2 * sectors} thin {sectors} {sectors - 1}"
        assert await mapper.read("thin", 0, POOL_SIZE * BLOCK) == bytes([turn + 1]) * (POOL_SIZE * BLOCK)
        await mapper.discard("thin", 0, POOL_SIZE * BLOCK)
        await mapper.dm.status(POOL)  # commits, which frees the blocks
    assert list(await mapper.check(POOL)) == []


@pytest.fixture
async def clocked() -> AsyncIterator[SmallPool]:
    """Run a pool without threads, which a clock that jumps does not see; the test itself takes the clock."""
    async with running_pool(in_place) as pool:
        yield pool


async def hold_a_write(pool: SmallPool, nursery: trio.Nursery) -> trio.Event:
    """Fill the pool, begin a write that waits, and free two blocks; return the event of its end."""
    ended = trio.Event()

    async def write() -> None:
        await pool.write("thin", 10)
        ended.set()

    await pool.start("thin", "other")
    await pool.write("thin", 0, 8)
    nursery.start_soon(write)
    await wait_all_tasks_blocked()
    assert await pool.mode() == "out_of_data_space"
    await pool.dm.volume("thin").discard(0, 2 * BLOCK)
    assert await pool.dm.status("thin") == "0 2048 thin 768 1023"
    await pool.dm.status("pool")  # commits, and finds the space
    assert await pool.mode() == "rw"
    await wait_all_tasks_blocked()
    assert not ended.is_set(), "requeue_bios wakes no worker"
    return ended


async def test_a_held_write_begins_within_a_second_of_the_commit_that_finds_space(
    clocked: SmallPool, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        ended = await hold_a_write(clocked, nursery)
        began = trio.current_time()
        await ended.wait()
        assert 0 < trio.current_time() - began <= 1
    assert clocked.dm.pool("pool").engine.check() == []


async def test_the_next_request_for_the_worker_begins_a_held_write(clocked: SmallPool) -> None:
    async with trio.open_nursery() as nursery:
        ended = await hold_a_write(clocked, nursery)
        await clocked.dm.volume("other").flush()
        await wait_all_tasks_blocked()
        assert ended.is_set()
    assert await clocked.dm.status("thin") == f"0 2048 thin 896 {11 * 128 - 1}"
    assert clocked.dm.pool("pool").engine.check() == []


async def test_a_suspend_of_the_pool_lets_a_held_write_begin_with_the_resume(clocked: SmallPool) -> None:
    async with trio.open_nursery() as nursery:
        ended = await hold_a_write(clocked, nursery)
        await clocked.dm.suspend("pool")
        await wait_all_tasks_blocked()
        assert not ended.is_set()
        await clocked.dm.resume("pool")
        await wait_all_tasks_blocked()
        assert ended.is_set()
    assert clocked.dm.pool("pool").engine.check() == []
