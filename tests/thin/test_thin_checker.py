"""The checker finds planted damage and reports each kind with its own text."""

import re
from collections.abc import Callable

import pytest

from tests.thin.ram_pool import RamPool
from thinsim.thin.mapping import pack
from thinsim.thin.metadata.bitmap import Bitmap
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.pool import Pool

UNREADABLE = "not all of the metadata can be read: reference counts are not checked"


@pytest.fixture
def ram() -> RamPool:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0, 4)
    ram.snap(2, 1)
    ram.message("reserve_metadata_snap")
    assert ram.problems() == []
    return ram


def node_of(pool: Pool, thin_id: int) -> Node:
    root = pool.metadata.trees.top.lookup(pool.metadata.superblock.mapping_root, thin_id)
    return pool.metadata.blocks.get(root, Node)


def gain_a_data_reference(pool: Pool) -> None:
    pool.metadata.data.increment(3, 4)


def count_an_unused_data_block(pool: Pool) -> None:
    pool.metadata.data.increment(9, 10)


def count_an_unused_metadata_block(pool: Pool) -> None:
    pool.metadata.space.new_block()


def map_beyond_the_pool(pool: Pool) -> None:
    node = node_of(pool, 1)
    node.values[3] = pack(48, 0)
    pool.metadata.data.decrement(3, 4)


def map_in_the_future(pool: Pool) -> None:
    node_of(pool, 1).values[3] = pack(3, 2)


def snapshot_in_the_future(pool: Pool) -> None:
    record = pool.metadata.open_thin(pool.thin_ids()[0])
    record.snapshotted_time, record.changed = 2, True


def miscount_mappings(pool: Pool) -> None:
    record = pool.metadata.open_thin(pool.thin_ids()[0])
    record.mapped_blocks, record.changed = 5, True


def miscount_the_space(pool: Pool) -> None:
    pool.metadata.data.counts.nr_allocated -= 1


def lose_a_device_s_details(pool: Pool) -> None:
    root = pool.metadata.trees.details.remove(pool.metadata.superblock.details_root, 2)
    assert root is not None
    pool.metadata.superblock.details_root = root
    for record in pool.metadata.records():
        record.changed = False


def map_two_leaves(pool: Pool) -> None:
    record = pool.metadata.open_thin(pool.thin_ids()[0])
    for vblock in range(4, 260):
        pool.metadata.data.increment(vblock % 40 + 4, vblock % 40 + 5)
        pool.metadata.insert(record, vblock, vblock % 40 + 4)
    assert not node_of(pool, 1).is_leaf


def leave_a_node_too_empty(pool: Pool) -> None:
    map_two_leaves(pool)
    leaf = pool.metadata.blocks.get(node_of(pool, 1).values[0], Node)
    for _ in range(60):
        pool.metadata.data.decrement(leaf.values[-1] >> 24, (leaf.values[-1] >> 24) + 1)
        leaf.delete(len(leaf) - 1)
    pool.metadata.open_thin(pool.thin_ids()[0]).mapped_blocks -= 60


def put_a_key_out_of_its_parent_s_range(pool: Pool) -> None:
    map_two_leaves(pool)
    node_of(pool, 1).keys[0] = 1


def break_a_bitmap(pool: Pool) -> None:
    number = pool.metadata.data.counts.index.load(0).block
    pool.commit()
    content = bytearray(pool.metadata.blocks.get(number, Bitmap).encode(number))
    content[100] ^= 1
    pool.metadata.blocks.store.write(number, bytes(content))
    pool.metadata.blocks.reset()


def break_a_shared_leaf(pool: Pool) -> None:
    root = pool.metadata.trees.top.lookup(pool.metadata.superblock.mapping_root, 1)
    content = bytearray(pool.metadata.blocks.get(root, Node).encode(root))
    content[40] ^= 1
    pool.metadata.blocks.store.write(root, bytes(content))
    pool.metadata.blocks.reset()


@pytest.mark.parametrize(
    ("plant", "texts"),
    [
        (gain_a_data_reference, ["data block 3: 2 references, but 1 uses"]),
        (count_an_unused_data_block, ["data block 9: 1 references, but 0 uses: leaked"]),
        (count_an_unused_metadata_block, [r"metadata block \d+: 1 references, but 0 uses: leaked"]),
        (map_beyond_the_pool, ["thin 1: block 3 maps beyond the pool's 48 blocks"]),
        (map_in_the_future, ["thin 1: block 3 mapped at 2, later than the pool's 1"]),
        (snapshot_in_the_future, ["thin 1: snapshotted_time 2 is later than the pool's 1"]),
        (miscount_mappings, ["thin 1: 5 mapped blocks, but 4 mappings"]),
        (miscount_the_space, ["data space map: 3 blocks counted as used, 4 are"]),
        (lose_a_device_s_details, ["thin 2 has no details"]),
        (leave_a_node_too_empty, [r"thin 1: node \d+ has too few entries: 66 of 252"]),
        (
            put_a_key_out_of_its_parent_s_range,
            [r"thin 1: node \d+ has keys 0 to 125 outside of 1 to 125", *[r"data block \d+: .*"] * 44],
        ),
        (
            break_a_bitmap,
            [
                r"data space map: metadata block \d+ is not a valid space map bitmap: checksum 0x.*",
                UNREADABLE,
            ],
        ),
        (break_a_shared_leaf, [r"thin 1: metadata block \d+ is not a valid btree node: .*", UNREADABLE]),
    ],
)
def test_planted_damage_is_found(ram: RamPool, plant: Callable[[Pool], None], texts: list[str]) -> None:
    plant(ram.pool)
    problems = ram.problems()
    assert len(problems) == len(texts), problems
    for problem, text in zip(problems, texts, strict=True):
        assert re.fullmatch(text, problem)
