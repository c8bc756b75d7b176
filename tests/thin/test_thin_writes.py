"""A write provisions, zeroes and breaks sharing in joined steps, and a read finds the written data."""

import errno

import pytest

from tests.thin.ram_pool import RamPool
from thinsim.errors import DeviceMapperError
from thinsim.thin.plan import CopyData, ReadData, ReadZeros, WriteData, ZeroData
from thinsim.thin.table import PoolFeatures

BLOCK = 4096


def test_an_unmapped_range_reads_as_zeros_in_one_step() -> None:
    ram = RamPool()
    device = ram.thin(1)
    assert device.plan_read(100, 20 * BLOCK) == [ReadZeros(20 * BLOCK)]
    assert ram.pool.blocks_used() == 0


def test_a_read_joins_adjacent_blocks() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 2, 2)
    assert device.plan_read(BLOCK, 4 * BLOCK) == [ReadZeros(BLOCK), ReadData(0, 2 * BLOCK), ReadZeros(BLOCK)]
    assert device.plan_read(2 * BLOCK + 10, BLOCK) == [ReadData(10, BLOCK)]


def test_a_sequential_write_maps_virtual_to_the_same_data_blocks_in_one_step() -> None:
    ram = RamPool()
    device = ram.thin(1)
    plan = device.plan_write(0, 16 * BLOCK)
    assert plan.steps == [WriteData(0, 0, 16 * BLOCK)]
    assert plan.remaps
    assert ram.pool.mappings(1) == []
    device.complete(plan)
    assert ram.blocks_of(1) == {block: block for block in range(16)}


def test_a_mapped_range_is_written_in_place() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0, 16)
    assert not device.needs_remap(5, 15 * BLOCK)
    plan = device.plan_write(5, 15 * BLOCK)
    assert not plan.remaps
    assert plan.steps == [WriteData(0, 5, 15 * BLOCK)]
    device.complete(plan)
    assert ram.blocks_of(1) == {block: block for block in range(16)}


def test_partly_written_new_blocks_are_zeroed_whole_first() -> None:
    ram = RamPool()
    device = ram.thin(1)
    plan = device.plan_write(100, 3 * BLOCK)
    assert plan.steps == [ZeroData(0, BLOCK), ZeroData(3 * BLOCK, BLOCK), WriteData(0, 100, 3 * BLOCK)]
    device.abandon(plan)
    ram.write(device, 100, b"x" * 10)
    assert ram.read(device, 0, BLOCK) == bytes(100) + b"x" * 10 + bytes(BLOCK - 110)


def test_skip_block_zeroing_leaves_the_device_s_old_bytes_around_the_write() -> None:
    ram = RamPool(features=PoolFeatures(skip_block_zeroing=True))
    device = ram.thin(1)
    ram.write(device, 100, b"x")
    assert ram.read(device, 0, BLOCK) == b"\xee" * 100 + b"x" + b"\xee" * (BLOCK - 101)


def test_a_short_last_block_is_zeroed_whole() -> None:
    ram = RamPool()
    ram.message("create_thin 1")
    device = ram.pool.open_thin(1, ram.block_size + 1)  # type: ignore[arg-type]
    plan = device.plan_write(BLOCK, 512)
    assert plan.steps == [ZeroData(0, BLOCK), WriteData(0, 0, 512)]
    device.complete(plan)
    assert device.status().text(0, 9) == "0 9 thin 8 15"


def test_a_write_to_a_shared_block_copies_it() -> None:
    ram = RamPool()
    origin = ram.thin(1)
    ram.write_blocks(origin, 0, 3, b"o")
    snap = ram.snap(2, 1)
    assert origin.needs_remap(0, 1)
    assert snap.needs_remap(0, 1)
    plan = snap.plan_write(BLOCK // 2, 2 * BLOCK)
    assert plan.steps == [
        CopyData(0, 3 * BLOCK, BLOCK),
        CopyData(2 * BLOCK, 5 * BLOCK, BLOCK),
        WriteData(0, 3 * BLOCK + BLOCK // 2, 2 * BLOCK),
    ]
    assert ram.content(snap) == ram.content(origin)
    ram.execute(plan.steps, b"s" * 2 * BLOCK)
    snap.complete(plan)
    assert ram.content(origin)[: 3 * BLOCK] == b"o" * 3 * BLOCK
    half = BLOCK // 2
    assert ram.content(snap)[: 3 * BLOCK] == b"o" * half + b"s" * 2 * BLOCK + b"o" * half
    assert ram.pool.blocks_used() == 6
    assert ram.problems() == []


def test_adjacent_shared_blocks_are_copied_in_one_step() -> None:
    ram = RamPool(block_size=8)
    origin = ram.thin(1)
    ram.write_blocks(origin, 0, 2)
    ram.snap(2, 1)
    plan = origin.plan_write(1, 2 * BLOCK - 2)
    assert plan.steps == [CopyData(0, 2 * BLOCK, 2 * BLOCK), WriteData(0, 2 * BLOCK + 1, 2 * BLOCK - 2)]


def test_a_shared_block_that_is_overwritten_is_not_copied() -> None:
    ram = RamPool()
    origin = ram.thin(1)
    ram.write_blocks(origin, 0)
    ram.snap(2, 1)
    assert origin.plan_write(0, BLOCK).steps == [WriteData(0, BLOCK, BLOCK)]


def test_skip_block_zeroing_does_not_skip_copies() -> None:
    ram = RamPool(features=PoolFeatures(skip_block_zeroing=True))
    origin = ram.thin(1)
    ram.write_blocks(origin, 0)
    ram.snap(2, 1)
    assert origin.plan_write(0, 1).steps[0] == CopyData(0, BLOCK, BLOCK)


def test_sharing_is_judged_by_time_so_it_is_broken_once_more_than_needed() -> None:
    ram = RamPool()
    origin = ram.thin(1)
    ram.write_blocks(origin, 0)
    snap = ram.snap(2, 1)
    ram.write_blocks(origin, 0)
    assert ram.pool.blocks_used() == 2
    assert snap.needs_remap(0, 1)
    ram.write_blocks(snap, 0)
    assert ram.pool.blocks_used() == 2
    assert not snap.needs_remap(0, 1)
    assert not origin.needs_remap(0, 1)


def test_a_block_mapped_after_the_snapshot_is_not_shared() -> None:
    ram = RamPool()
    origin = ram.thin(1)
    ram.snap(2, 1)
    ram.write_blocks(origin, 0)
    assert not origin.needs_remap(0, BLOCK)


def test_an_abandoned_write_maps_nothing_and_its_blocks_stay_allocated() -> None:
    ram = RamPool()
    device = ram.thin(1)
    device.abandon(device.plan_write(0, 2 * BLOCK))
    assert ram.pool.mappings(1) == []
    assert ram.pool.blocks_used() == 2
    assert ram.problems() == [
        "data block 0: 1 references, but 0 uses: leaked",
        "data block 1: 1 references, but 0 uses: leaked",
    ]
    ram.commit()
    ram.crash()
    assert ram.pool.blocks_used() == 2


def test_blocks_of_a_write_in_flight_at_a_commit_are_leaked_by_a_crash() -> None:
    ram = RamPool()
    device = ram.thin(1)
    device.plan_write(0, 2 * BLOCK)
    assert ram.pool.blocks_used() == 2
    assert ram.problems() == []
    ram.crash()
    assert ram.pool.blocks_used() == 0
    device = ram.open(1)
    device.plan_write(0, 2 * BLOCK)
    ram.commit()
    assert ram.problems() == []
    ram.crash()
    assert ram.pool.blocks_used() == 2
    assert ram.problems() == [f"data block {block}: 1 references, but 0 uses: leaked" for block in (0, 1)]


def test_two_remapping_writes_of_one_block_may_not_be_outstanding() -> None:
    ram = RamPool()
    device, again = ram.thin(1), ram.open(1)
    device.plan_write(0, BLOCK)
    with pytest.raises(AssertionError, match="block 0 already has a remapping write outstanding"):
        again.plan_write(0, 2 * BLOCK)
    with pytest.raises(AssertionError, match="block 0 already"):
        again.plan_discard(0, BLOCK)
    assert ram.pool.blocks_used() == 1


def test_a_plan_is_handed_back_once() -> None:
    ram = RamPool()
    device = ram.thin(1)
    plan = device.plan_write(0, BLOCK)
    device.complete(plan)
    with pytest.raises(AssertionError, match="already"):
        device.abandon(plan)


@pytest.mark.parametrize(("offset", "length"), [(63 * BLOCK, BLOCK + 1), (64 * BLOCK, 1), (-1, 1)])
def test_a_request_past_the_end_is_eio(offset: int, length: int) -> None:
    device = RamPool().thin(1)
    for plan in (device.plan_read, device.plan_write):
        with pytest.raises(DeviceMapperError) as caught:
            plan(offset, length)
        assert caught.value.errno == errno.EIO


def test_an_empty_request_has_no_steps() -> None:
    device = RamPool().thin(1)
    assert device.plan_read(7, 0) == []
    assert device.plan_write(7, 0).steps == []
    assert not device.needs_remap(7, 0)


def test_the_length_of_the_table_bounds_the_device_not_its_mappings() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 40)
    ram.pool.close_thin(device)
    shorter = ram.open(1, 8)
    assert shorter.status().text(0, 64) == "0 64 thin 8 327"


def test_without_zeroing_a_provisioned_block_is_mapped_before_its_data_is_written() -> None:
    ram = RamPool(features=PoolFeatures(skip_block_zeroing=True))
    device = ram.thin(1)
    plan = device.plan_write(0, 2 * BLOCK + 1)
    assert ram.blocks_of(1) == {0: 0, 1: 1, 2: 2}
    device.abandon(plan)
    assert ram.blocks_of(1) == {0: 0, 1: 1, 2: 2}
    snap = ram.snap(2, 1)
    plan = snap.plan_write(0, BLOCK)
    snap.abandon(plan)
    assert ram.blocks_of(2)[0] == 0, "a block that breaks sharing is mapped afterwards"
    assert ram.problems() == ["data block 3: 1 references, but 0 uses: leaked"]


def test_the_parts_of_a_write_are_its_steps_block_by_block() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 1)
    parts = list(device.plan_write(100, 3 * BLOCK).parts())
    assert [(part.begin, part.length) for part in parts] == [
        (0, BLOCK - 100),
        (BLOCK - 100, BLOCK),
        (2 * BLOCK - 100, BLOCK),
        (3 * BLOCK - 100, 100),
    ]
    assert [part.steps for part in parts] == [
        [ZeroData(BLOCK, BLOCK), WriteData(0, BLOCK + 100, BLOCK - 100)],
        [WriteData(0, 0, BLOCK)],
        [WriteData(0, 2 * BLOCK, BLOCK)],
        [ZeroData(3 * BLOCK, BLOCK), WriteData(0, 3 * BLOCK, 100)],
    ]
    assert [part.insert is None for part in parts] == [False, True, False, False]


def test_the_written_blocks_of_an_abandoned_write_are_mapped() -> None:
    ram = RamPool()
    device = ram.thin(1)
    plan = device.plan_write(0, 3 * BLOCK)
    first, _, last = plan.inserts
    device.abandon(plan, [first, last])
    assert ram.blocks_of(1) == {0: 0, 2: 2}
    assert ram.problems() == ["data block 1: 1 references, but 0 uses: leaked"]
