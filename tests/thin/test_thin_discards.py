"""A discard unmaps whole blocks and passes down those without another mapping."""

import errno

import pytest

from tests.thin.ram_pool import RamPool
from thinsim.errors import DeviceMapperError
from thinsim.thin.plan import PassDown
from thinsim.thin.table import PoolFeatures

BLOCK = 4096


def test_a_discarded_range_is_unmapped_and_passed_down_in_one_step() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0, 8)
    plan = device.plan_discard(BLOCK, 6 * BLOCK)
    assert plan.steps == [PassDown(BLOCK, 6 * BLOCK)]
    assert ram.read(device, 0, 8 * BLOCK) == b"w" * BLOCK + bytes(6 * BLOCK) + b"w" * BLOCK
    assert ram.pool.blocks_used() == 8
    device.complete(plan)
    assert ram.pool.blocks_used() == 2
    assert ram.problems() == []


def test_blocks_under_discard_are_not_allocated() -> None:
    ram = RamPool(data_blocks=2)
    device = ram.thin(1)
    ram.write_blocks(device, 0, 2)
    ram.commit()
    plan = device.plan_discard(0, BLOCK)
    ram.commit()
    with pytest.raises(DeviceMapperError):
        device.plan_write(5 * BLOCK, BLOCK)
    assert ram.problems() == []
    device.complete(plan)
    ram.commit()
    ram.write_blocks(device, 5)
    assert ram.blocks_of(1) == {1: 1, 5: 0}


def test_partial_head_and_tail_blocks_are_left_untouched() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0, 4)
    ram.discard(device, 512, 3 * BLOCK)
    assert ram.read(device, 0, 4 * BLOCK) == b"w" * BLOCK + bytes(2 * BLOCK) + b"w" * BLOCK
    ram.discard(device, 512, BLOCK)
    assert ram.passed_down == [(1, 2)]


def test_a_shared_block_is_unmapped_but_not_passed_down() -> None:
    ram = RamPool()
    origin = ram.thin(1)
    ram.write_blocks(origin, 0, 4)
    snap = ram.snap(2, 1)
    ram.discard_blocks(origin, 0, 4)
    assert ram.passed_down == []
    assert ram.pool.blocks_used() == 4
    assert ram.content(origin) == bytes(64 * BLOCK)
    assert ram.read(snap, 0, 4 * BLOCK) == b"w" * 4 * BLOCK
    assert ram.problems() == []


def test_a_block_shared_before_the_snapshot_was_deleted_is_passed_down() -> None:
    ram = RamPool()
    origin = ram.thin(1)
    ram.write_blocks(origin, 0, 4)
    ram.message("create_snap 2 1")
    ram.message("delete 2")
    ram.discard_blocks(origin, 0, 4)
    assert ram.passed_down == [(0, 4)]
    assert ram.pool.blocks_used() == 0


def test_only_the_unshared_parts_of_a_range_are_passed_down() -> None:
    ram = RamPool()
    origin = ram.thin(1)
    ram.write_blocks(origin, 0, 6)
    snap = ram.snap(2, 1)
    ram.discard_blocks(snap, 1)
    ram.discard_blocks(snap, 4, 2)
    assert ram.passed_down == []
    ram.discard_blocks(origin, 0, 6)
    assert ram.passed_down == [(1, 1), (4, 2)]
    assert ram.problems() == []


def test_deleting_a_device_passes_nothing_down() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0, 4)
    ram.pool.close_thin(device)
    ram.message("delete 1")
    assert ram.passed_down == []
    assert ram.pool.blocks_used() == 0


def test_discarding_again_does_nothing() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 3)
    ram.discard_blocks(device, 0, 64)
    ram.commit()
    ram.discard_blocks(device, 0, 64)
    assert ram.passed_down == [(0, 1)]
    assert not ram.pool.changed


@pytest.mark.parametrize("way", ["feature", "device"])
def test_without_passdown_blocks_are_freed_and_nothing_is_passed_down(way: str) -> None:
    ram = RamPool(
        features=PoolFeatures(no_discard_passdown=way == "feature"), data_can_discard=way != "device"
    )
    device = ram.thin(1)
    ram.write_blocks(device, 0, 4)
    ram.discard_blocks(device, 0, 4)
    assert (ram.passed_down, ram.pool.blocks_used()) == ([], 0)
    assert ram.pool.status().discard == "no_discard_passdown"
    assert ram.problems() == []


def test_ignore_discard_refuses() -> None:
    ram = RamPool(features=PoolFeatures(ignore_discard=True))
    with pytest.raises(DeviceMapperError) as caught:
        ram.thin(1).plan_discard(0, BLOCK)
    assert caught.value.errno == errno.EOPNOTSUPP
    assert ram.pool.status().discard == "ignore_discard"


def test_a_discard_past_the_end_is_einval() -> None:
    with pytest.raises(DeviceMapperError) as caught:
        RamPool().thin(1).plan_discard(60 * BLOCK, 5 * BLOCK)
    assert caught.value.errno == errno.EINVAL


def test_a_failed_discard_completes() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0, 4)
    device.abandon(device.plan_discard(0, 4 * BLOCK))
    assert ram.pool.blocks_used() == 0
    assert ram.problems() == []


def test_two_devices_discard_a_shared_block_at_the_same_time() -> None:
    ram = RamPool()
    origin = ram.thin(1)
    ram.write_blocks(origin, 0)
    snap = ram.snap(2, 1)
    first, second = origin.plan_discard(0, BLOCK), snap.plan_discard(0, BLOCK)
    assert ram.problems() == []
    origin.complete(first)
    snap.complete(second)
    assert ram.pool.blocks_used() == 0
    assert ram.problems() == []


def test_a_metadata_snapshot_keeps_discarded_blocks() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0, 4)
    ram.message("reserve_metadata_snap")
    ram.discard_blocks(device, 0, 4)
    ram.commit()
    assert ram.pool.blocks_used() == 4
    assert ram.problems() == []
    ram.crash()
    assert ram.pool.blocks_used() == 4
    ram.message("release_metadata_snap")
    assert ram.pool.blocks_used() == 0
    assert ram.problems() == []
