"""The checker finds planted damage, each kind in its own words."""

from collections.abc import Callable

import pytest
from ram_pool import RamPool

from thinsim.thin.mapping import Run


@pytest.fixture
def ram() -> RamPool:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0, 4)
    ram.snap(2, 1)
    ram.message("reserve_metadata_snap")
    assert ram.problems() == []
    return ram


def lose_a_reference(ram: RamPool) -> None:
    ram.pool.space.decrement(3)


def gain_a_reference(ram: RamPool) -> None:
    ram.pool.space.increment(9)


def map_a_foreign_block(ram: RamPool) -> None:
    ram.pool.records[ram.pool.thin_ids()[0]].state.mappings.insert(7, 40, 0)


def map_beyond_the_pool(ram: RamPool) -> None:
    ram.pool.records[ram.pool.thin_ids()[0]].state.mappings.insert(7, 48, 0)


def map_in_the_future(ram: RamPool) -> None:
    ram.pool.records[ram.pool.thin_ids()[0]].state.mappings.insert(3, 3, 2)


def snapshot_in_the_future(ram: RamPool) -> None:
    ram.pool.records[ram.pool.thin_ids()[0]].state.snapshotted_time = 2


def forget_a_mapping(ram: RamPool) -> None:
    mappings = ram.pool.records[ram.pool.thin_ids()[1]].state.mappings
    assert list(mappings.runs()) == [Run(0, 0, 4, 0)]
    mappings.remove(0, 1)


def forget_the_highest(ram: RamPool) -> None:
    ram.pool.records[ram.pool.thin_ids()[0]].state.mappings._highest = 9


def miscount_the_space(ram: RamPool) -> None:
    ram.pool.space._nr_allocated += 1


def damage_the_image(ram: RamPool) -> None:
    ram.pool._committed_image = ram.pool.committed_image[:-1] + b"!"


@pytest.mark.parametrize(
    ("plant", "text"),
    [
        (lose_a_reference, "data block 3: 3 references, but 4 mappings and 0 requests"),
        (gain_a_reference, "data block 9: 1 references, but 0 mappings and 0 requests"),
        (map_a_foreign_block, "data block 40: 0 references, but 1 mappings and 0 requests"),
        (map_beyond_the_pool, "thin 1: block 7 maps beyond the pool's 48 blocks"),
        (map_in_the_future, "thin 1: block 3 mapped at 2, later than the pool's 1"),
        (snapshot_in_the_future, "thin 1: snapshotted_time 2 is later than the pool's 1"),
        (forget_a_mapping, "data block 0: 4 references, but 3 mappings and 0 requests"),
        (forget_the_highest, "thin 1: highest mapped block is said to be 9"),
        (miscount_the_space, "space map: 5 blocks said to be in use, 4 are"),
        (damage_the_image, "committed image: metadata image: checksum is"),
    ],
)
def test_planted_damage_is_found(ram: RamPool, plant: Callable[[RamPool], None], text: str) -> None:
    plant(ram)
    problems = ram.problems()
    assert len(problems) == 1
    assert problems[0].startswith(text)
