"""A pool that runs out of data space commits, searches again, changes its mode and recovers."""

import errno

import pytest

from tests.thin.ram_pool import RamPool
from thinsim.errors import DeviceMapperError
from thinsim.thin.messages import send_message
from thinsim.thin.modes import PoolMode
from thinsim.thin.plan import Commit, FlushData
from thinsim.thin.space_errors import NoDataSpace, NotWritable, OutOfDataSpace
from thinsim.thin.table import PoolFeatures

BLOCK = 4096
ERROR_IF_NO_SPACE = PoolFeatures(error_if_no_space=True)


def test_a_full_pool_commits_and_searches_again_then_is_out_of_data_space() -> None:
    ram = RamPool(data_blocks=2)
    device = ram.thin(1)
    ram.write_blocks(device, 0, 2)
    flushes = ram.metadata.flushes
    with pytest.raises(OutOfDataSpace) as caught:
        device.plan_write(2 * BLOCK, BLOCK)
    assert caught.value.errno == errno.ENOSPC
    assert ram.metadata.flushes == flushes + 2
    assert ram.pool.status().mode == "out_of_data_space"
    # One event is the low water mark of 0, the other the mode.
    assert ram.pool.event_nr == 2


def test_a_block_freed_before_that_commit_is_allocated() -> None:
    ram = RamPool(data_blocks=2)
    device = ram.thin(1)
    ram.write_blocks(device, 0, 2)
    ram.commit()
    ram.discard_blocks(device, 0)
    ram.commit()
    ram.write_blocks(device, 7)
    assert ram.blocks_of(1) == {1: 1, 7: 0}


def test_error_if_no_space_fails_the_write() -> None:
    ram = RamPool(data_blocks=1, features=ERROR_IF_NO_SPACE)
    device = ram.thin(1)
    with pytest.raises(NoDataSpace) as caught:
        ram.write_blocks(device, 0, 2)
    assert not isinstance(caught.value, OutOfDataSpace)
    assert ram.pool.status().no_space == "error_if_no_space"
    assert ram.blocks_of(1) == {0: 0}


def test_a_long_write_can_fill_the_pool_before_it_fails() -> None:
    ram = RamPool(data_blocks=3)
    device = ram.thin(1)
    ram.write_blocks(device, 1)
    plan = device.plan_write(100, 5 * BLOCK)
    assert plan.length == 3 * BLOCK - 100
    assert (ram.pool.mode, ram.pool.blocks_used()) == (PoolMode.OUT_OF_DATA_SPACE, 3)
    ram.execute(plan.steps, b"x" * plan.length)
    device.complete(plan)
    with pytest.raises(OutOfDataSpace):
        ram.write(device, 100 + plan.length, b"x" * (5 * BLOCK - plan.length))
    assert sorted(ram.blocks_of(1)) == [0, 1, 2]
    assert ram.read(device, 0, 4 * BLOCK) == bytes(100) + b"x" * (3 * BLOCK - 100) + bytes(BLOCK)
    assert ram.problems() == []


def test_blocks_that_need_no_space_are_written_around_those_that_do() -> None:
    ram = RamPool(data_blocks=3, features=ERROR_IF_NO_SPACE)
    device = ram.thin(1)
    for vblock in (0, 2, 4):
        ram.write_blocks(device, vblock)
    with pytest.raises(NoDataSpace):
        ram.write_blocks(device, 0, 5, fill=b"n")
    assert ram.read(device, 0, 5 * BLOCK) == (b"n" * BLOCK + bytes(BLOCK)) * 2 + b"n" * BLOCK
    ram.pool.bind(PoolFeatures(read_only=True), 0)
    with pytest.raises(NotWritable) as caught:
        ram.write_blocks(device, 0, 5, fill=b"r")
    assert caught.value.errno == errno.EIO
    assert ram.read(device, 0, 5 * BLOCK) == (b"r" * BLOCK + bytes(BLOCK)) * 2 + b"r" * BLOCK


def test_out_of_data_space_leaves_mapped_blocks_writable_and_messages_served() -> None:
    ram = RamPool(data_blocks=1)
    device = ram.thin(1)
    with pytest.raises(OutOfDataSpace):
        ram.write_blocks(device, 0, 2)
    ram.write_blocks(device, 0, fill=b"n")
    assert ram.read(device, 0, 2 * BLOCK) == b"n" * BLOCK + bytes(BLOCK)
    with pytest.raises(OutOfDataSpace):
        device.plan_write(BLOCK, 1)
    ram.message("create_thin 2")
    ram.discard_blocks(device, 0)
    assert ram.pool.status().mode == "out_of_data_space"
    ram.commit()
    assert ram.pool.status().mode == "rw"
    ram.write_blocks(device, 5)
    assert ram.problems() == []


def test_growth_ends_out_of_data_space_at_its_commit() -> None:
    ram = RamPool(data_blocks=1)
    device = ram.thin(1)
    with pytest.raises(OutOfDataSpace):
        ram.write_blocks(device, 0, 2)
    ram.pool.grow(2)
    assert ram.pool.changed
    ram.commit()
    assert ram.pool.mode is PoolMode.WRITE
    assert device.plan_write(BLOCK, BLOCK).remaps


def test_a_pool_with_only_newly_freed_blocks_is_out_of_data_space_until_the_commit() -> None:
    ram = RamPool(data_blocks=2)
    device = ram.thin(1)
    ram.write_blocks(device, 0, 2)
    ram.commit()
    ram.discard_blocks(device, 0)
    with pytest.raises(OutOfDataSpace):
        device.plan_write(5 * BLOCK, BLOCK)
    assert ram.pool.mode is PoolMode.OUT_OF_DATA_SPACE
    ram.commit()
    ram.write_blocks(device, 5)
    assert ram.blocks_of(1) == {1: 1, 5: 0}


def test_writes_that_waited_too_long_fail_until_the_next_resume() -> None:
    ram = RamPool(data_blocks=1)
    device = ram.thin(1)
    ram.pool.no_space_timeout()
    assert ram.pool.status().no_space == "queue_if_no_space"
    with pytest.raises(OutOfDataSpace):
        ram.write_blocks(device, 0, 2)
    events = ram.pool.event_nr
    ram.pool.no_space_timeout()
    ram.pool.no_space_timeout()
    assert (ram.pool.event_nr, ram.pool.status().no_space) == (events + 1, "error_if_no_space")
    with pytest.raises(NoDataSpace) as caught:
        device.plan_write(BLOCK, BLOCK)
    assert not isinstance(caught.value, OutOfDataSpace)
    ram.pool.bind(ram.features, 0, loaded=False)
    ram.pool.resume()
    assert ram.pool.status().no_space == "queue_if_no_space"


def test_the_low_water_mark_is_one_event_until_the_next_resume() -> None:
    ram = RamPool(data_blocks=10, low_water_blocks=4)
    device = ram.thin(1)
    ram.write_blocks(device, 0, 6)
    assert ram.pool.event_nr == 0
    ram.write_blocks(device, 6)
    ram.write_blocks(device, 7)
    assert ram.pool.event_nr == 1
    ram.pool.resume()
    ram.write_blocks(device, 8)
    assert ram.pool.event_nr == 2


def test_a_read_only_pool_reads_rewrites_and_ignores_discards() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0)
    ram.commit()
    ram.pool.bind(PoolFeatures(read_only=True), 0)
    assert (ram.pool.status().mode, ram.pool.event_nr) == ("ro", 1)
    ram.write_blocks(device, 0, fill=b"n")
    ram.discard_blocks(device, 0)
    assert ram.read(device, 0, BLOCK) == b"n" * BLOCK
    assert device.plan_flush() != []
    for refused in (lambda: device.plan_write(BLOCK, 1), lambda: send_message(ram.pool, "frobnicate")):
        with pytest.raises(DeviceMapperError) as caught:
            refused()
        assert caught.value.errno in (errno.EIO, errno.EOPNOTSUPP)
    with pytest.raises(DeviceMapperError) as caught:
        ram.pool.commit()
    assert caught.value.errno == errno.EINVAL
    ram.pool.bind(PoolFeatures(), 0)
    assert (ram.pool.status().mode, ram.pool.event_nr) == ("rw", 2)


def test_a_pool_that_became_read_only_with_changes_can_not_flush_them() -> None:
    ram = RamPool()
    device = ram.thin(1)
    plan = device.plan_write(5 * BLOCK, BLOCK)
    ram.write_blocks(device, 0)
    assert device.plan_flush() != []
    ram.pool.bind(PoolFeatures(read_only=True), 0)
    for refused in (device.plan_flush, lambda: device.complete(plan)):
        with pytest.raises(DeviceMapperError) as caught:
            refused()
        assert caught.value.errno == errno.EIO


def test_a_pool_that_needs_a_check_does_not_grow_or_write() -> None:
    ram = RamPool()
    ram.thin(1)
    ram.pool.transaction.abort()
    ram.data_blocks = 60
    ram.crash()
    assert ram.pool.status().total_data == 48
    ram.pool.bind(PoolFeatures(), 0)
    assert ram.pool.mode is PoolMode.READ_ONLY


def test_a_flush_is_a_write_to_block_0_for_a_pool_without_space() -> None:
    for features, expected in ((PoolFeatures(), OutOfDataSpace), (ERROR_IF_NO_SPACE, NoDataSpace)):
        ram = RamPool(data_blocks=1, features=features)
        device, other = ram.thin(1), ram.thin(2)
        with pytest.raises(NoDataSpace):
            ram.write_blocks(device, 0, 2)
        assert device.plan_flush() == [Commit()]
        with pytest.raises(expected):
            other.plan_flush()
        ram.commit()
        assert device.plan_flush() == [FlushData()]
        ram.pool.bind(PoolFeatures(read_only=True), 0)
        assert device.plan_flush() == [FlushData()]
        with pytest.raises(NotWritable):
            other.plan_flush()


def test_a_shortage_that_ends_lets_writes_wait_again() -> None:
    ram = RamPool(data_blocks=1)
    device = ram.thin(1)
    with pytest.raises(OutOfDataSpace):
        ram.write_blocks(device, 0, 2)
    ram.pool.no_space_timeout()
    ram.discard_blocks(device, 0)
    ram.commit()
    assert (ram.pool.status().mode, ram.pool.status().no_space) == ("rw", "queue_if_no_space")


def test_a_resume_without_a_new_table_leaves_the_mode() -> None:
    ram = RamPool()
    ram.pool.bind(PoolFeatures(read_only=True), 0)
    ram.pool.bind(PoolFeatures(), 0, loaded=False)
    assert ram.pool.status().mode == "ro"
    ram.pool.bind(PoolFeatures(), 0)
    assert ram.pool.status().mode == "rw"
