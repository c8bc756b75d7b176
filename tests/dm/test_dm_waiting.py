"""A pool has a clock, in process: periodic commits, writes that wait for space, the no-space timeout."""

import errno
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

from tests.dm.small_pool import BLOCK, SmallPool, refusal, running_pool
from thinsim.dm.emulator.pool.held_writes import NO_SPACE_TIMEOUT
from thinsim.dm.emulator.runner import in_place
from thinsim.thin.status import parse_pool_status


@pytest.fixture
async def clocked() -> AsyncIterator[SmallPool]:
    """Run a pool without threads, which a clock that jumps does not see; the test itself takes the clock."""
    async with running_pool(in_place) as pool:
        yield pool


async def test_a_change_is_committed_within_a_second_or_two(
    clocked: SmallPool, autojump_clock: MockClock
) -> None:
    await clocked.start("thin")
    await clocked.write("thin", 0, 2)
    assert clocked.saved_mappings() == 0
    await trio.sleep(1.1)
    assert clocked.saved_mappings() == 2
    clocked.metadata.log.clear()
    await trio.sleep(60)
    assert clocked.metadata.log == [], "an unchanged pool is not committed"


async def test_a_flush_commits_the_changed_device_alone(pool: SmallPool) -> None:
    await pool.start("changed", "same")
    await pool.write("changed", 0)
    await pool.dm.volume("same").flush()
    assert pool.saved_mappings() == 0
    await pool.dm.volume("changed").flush()
    assert pool.saved_mappings() == 1


async def test_writes_fail_together_if_no_space_came_in_time(
    clocked: SmallPool, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    await clocked.start("thin", "late")
    await clocked.write("thin", 0, 8)
    began = trio.current_time()
    ended: dict[str, float] = {}

    async def write(name: str, after: float) -> None:
        await trio.sleep(after)
        await refusal(errno.ENOSPC, clocked.write, name, 9)
        ended[name] = trio.current_time() - began

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, "thin", 0)
        nursery.start_soon(write, "late", 30)
        # Without space the low water mark was reached and the mode changed; then the timeout fired.
        assert await clocked.dm.wait("pool", 0) == 2
        assert await clocked.dm.wait("pool", 2) == 3
    assert ended == {
        "thin": pytest.approx(NO_SPACE_TIMEOUT, 0.1),
        "late": pytest.approx(NO_SPACE_TIMEOUT, 0.1),
    }
    assert parse_pool_status(await clocked.dm.status("pool")).no_space == "error_if_no_space"
    await refusal(errno.ENOSPC, clocked.write, "thin", 9)
    await clocked.dm.suspend("pool")
    await clocked.dm.resume("pool")
    assert parse_pool_status(await clocked.dm.status("pool")).no_space == "queue_if_no_space"


async def test_a_cancelled_wait_for_space_allocates_nothing(pool: SmallPool) -> None:
    await pool.start("thin")
    await pool.write("thin", 0, 7)
    with trio.move_on_after(0.05):
        await pool.write("thin", 7, 3)  # one block of three fits
    assert await pool.mode() == "out_of_data_space"
    await pool.dm.volume("thin").discard(0, 4 * BLOCK)
    await pool.dm.status("pool")
    assert await pool.mode() == "rw"
    await pool.write("thin", 8, 3)
    assert pool.dm.pool("pool").engine.check() == []


async def test_a_discard_ends_the_wait_at_the_next_periodic_commit(
    clocked: SmallPool, autojump_clock: MockClock
) -> None:
    await clocked.start("thin")
    await clocked.write("thin", 0, 8)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clocked.write, "thin", 10, 2)
        await trio.sleep(0.1)
        await clocked.dm.volume("thin").discard(0, 2 * BLOCK)
    assert await clocked.dm.volume("thin").read(10 * BLOCK, 2 * BLOCK) == b"x" * (2 * BLOCK)
    assert clocked.dm.pool("pool").engine.check() == []
