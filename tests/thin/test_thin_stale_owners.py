"""Old metadata nodes name the device that mapped a freed data block last, and never one that did not."""

import gzip
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thin.owner_oracle import OwnerOracle
from tests.thin.ram_pool import RamPool
from tests.thin.ram_store import BLOCK, RamStore
from thinsim.thin.metadata.best_claims import OwnedRun
from thinsim.thin.metadata.free_runs import free_runs
from thinsim.thin.metadata.stale_nodes import MOST_BLOCKS, MOST_ENTRIES, StaleNodes, read_stale_nodes
from thinsim.thin.metadata.stale_owners import last_owners
from thinsim.thin.metadata.view import MetadataView
from thinsim.thin.metadata.wanted_blocks import WantedBlocks

RECORDED = Path(__file__).parent / "data" / "linux-6.1-former-owners.gz"


def stale_nodes(
    store: RamStore, most_blocks: int = MOST_BLOCKS, most_entries: int = MOST_ENTRIES
) -> tuple[MetadataView, StaleNodes, WantedBlocks]:
    """Return the old nodes in *store*, with the mappings of all free data blocks."""
    view = MetadataView(store)
    counts = view.data_counts()
    wanted = WantedBlocks(free_runs(counts, 0, counts.nr_blocks))
    return view, read_stale_nodes(view, wanted, most_blocks, most_entries), wanted


def by_block(runs: list[OwnedRun]) -> dict[int, int]:
    return {block: run.thin_id for run in runs for block in range(run.begin, run.end)}


def owners(ram: RamPool) -> dict[int, int]:
    """Return the last owner of each data block that is free."""
    return by_block(last_owners(*stale_nodes(ram.metadata)))


def written(ram: RamPool, thin_id: int, count: int, vblock: int = 0) -> set[int]:
    """Create a device with *count* blocks, commit, and return its data blocks."""
    device = ram.thin(thin_id, 4000)
    ram.write_blocks(device, vblock, count)
    ram.pool.close_thin(device)
    ram.commit()
    return set(ram.blocks_of(thin_id).values())


def rewritten(ram: RamPool, thin_id: int, vblock: int, count: int) -> None:
    device = ram.open(thin_id, 4000)
    ram.write_blocks(device, vblock, count)
    ram.pool.close_thin(device)
    ram.commit()


def named(blocks: set[int], thin_id: int) -> dict[int, int]:
    return dict.fromkeys(blocks, thin_id)


@pytest.mark.parametrize("count", [1, 5, 200, 1000])
def test_the_blocks_of_a_deleted_device_name_it(count: int) -> None:
    ram = RamPool(data_blocks=4000, block_size=1)
    blocks = {thin_id: written(ram, thin_id, count) for thin_id in (1, 2, 3)}
    ram.message("delete 2")
    assert owners(ram) == named(blocks[2], 2)


@pytest.mark.parametrize("count", [1, 5, 200])
def test_the_only_device_is_named(count: int) -> None:
    ram = RamPool(data_blocks=400, block_size=1)
    blocks = written(ram, 7, count) - {0}
    ram.message("delete 7")
    found = owners(ram)
    assert {block: found.get(block) for block in blocks} == named(blocks, 7)


def test_devices_that_are_deleted_together_are_named_each() -> None:
    ram = RamPool(data_blocks=4000, block_size=1)
    blocks = {thin_id: written(ram, thin_id, 100 + thin_id, 50 * thin_id) for thin_id in range(1, 9)}
    for thin_id in range(1, 8):
        ram.message(f"delete {thin_id}")
    assert owners(ram) == {block: thin_id for thin_id in range(1, 8) for block in blocks[thin_id]}


def test_discarded_blocks_name_the_device_that_still_exists() -> None:
    ram = RamPool(data_blocks=400, block_size=1)
    written(ram, 1, 40)
    written(ram, 2, 40)
    before = ram.blocks_of(1)
    device = ram.open(1, 4000)
    ram.discard_blocks(device, 10, 5)
    ram.commit()
    assert owners(ram) == named({before[vblock] for vblock in range(10, 15)}, 1)


@pytest.mark.parametrize("count", [10, 700])
def test_a_snapshot_that_kept_old_blocks_of_its_origin_is_named(count: int) -> None:
    ram = RamPool(data_blocks=4000, block_size=1)
    old = written(ram, 1, count)
    ram.message("create_snap 2 1")
    rewritten(ram, 1, 0, count)
    assert owners(ram) == {}
    ram.message("delete 2")
    assert owners(ram) == named(old, 2)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_the_device_that_was_deleted_last_is_named(order: tuple[int, int]) -> None:
    ram = RamPool(data_blocks=400, block_size=1)
    written(ram, 3, 10)
    shared = written(ram, 1, 30)
    ram.message("create_snap 2 1")
    rewritten(ram, 2, 100, 20)
    own = set(ram.blocks_of(2).values()) - shared
    for thin_id in order:
        ram.message(f"delete {thin_id}")
    found = owners(ram)
    assert {block: found.get(block) for block in own} == named(own, 2)
    assert {block: found.get(block) for block in shared} == named(shared, order[-1])


def test_a_block_that_two_devices_had_in_turn_names_the_second() -> None:
    ram = RamPool(data_blocks=40, block_size=1)
    first = written(ram, 1, 40)
    ram.message("delete 1")
    second = written(ram, 2, 40)
    assert second == first
    written_over = owners(ram)
    assert written_over == {}
    ram.message("create_thin 3")
    ram.message("delete 2")
    assert owners(ram) == named(second, 2)


def test_a_device_that_was_written_and_deleted_without_a_commit_is_unknown() -> None:
    ram = RamPool(data_blocks=400, block_size=1)
    written(ram, 1, 10)
    device = ram.thin(2, 400)
    ram.write_blocks(device, 0, 10)
    ram.pool.close_thin(device)
    ram.message("delete 2")
    assert owners(ram) == {}


def test_metadata_that_linux_wrote_names_its_former_owners() -> None:
    """In the recording, Linux 6.1 wrote 11, 12 and 13 blocks of thin ids 1 to 3, and made 4 a snapshot of 1.

    Then 4 wrote five blocks of its own, and 1 its first four again. After a commit 2 and 4 were deleted.
    """
    content = gzip.decompress(RECORDED.read_bytes())
    store = RamStore(len(content) // BLOCK)
    store.content = {block: content[block * BLOCK :][:BLOCK] for block in range(store.blocks)}
    found = by_block(last_owners(*stale_nodes(store)))
    assert Counter(found.values()) == {2: 12, 4: 5 + 4}


def test_reading_ends_at_a_limit() -> None:
    ram = RamPool(data_blocks=400, block_size=1)
    written(ram, 1, 10)
    ram.message("delete 1")
    view, nodes, wanted = stale_nodes(ram.metadata, most_blocks=3)
    assert nodes.cut
    assert last_owners(view, nodes, wanted) == []
    assert stale_nodes(ram.metadata, most_entries=5)[1].cut
    assert not stale_nodes(ram.metadata)[1].cut
    few = WantedBlocks(wanted.runs, most=4)
    nodes = read_stale_nodes(view, few)
    assert nodes.cut
    assert sum(run.end - run.begin for run in last_owners(view, nodes, few)) == 4


def test_nodes_in_blocks_that_were_used_meanwhile_are_dropped() -> None:
    ram = RamPool(data_blocks=4000, block_size=1, metadata_blocks=256)
    blocks = written(ram, 1, 200)
    written(ram, 2, 200)
    ram.message("delete 1")
    view, nodes, wanted = stale_nodes(ram.metadata)
    assert by_block(last_owners(view, nodes, wanted)) == named(blocks, 1)
    nodes.note_index(view.superblock.metadata_space_map.bitmap_root)
    nodes.keep_unchanged()
    assert by_block(last_owners(view, nodes, wanted)) == named(blocks, 1), "no commit came between"
    older = min(nodes.leaves, key=nodes.age)
    nodes.note_index(older)
    nodes.keep_unchanged()
    assert older not in nodes.leaves
    nodes.note_index(nodes.index)
    assert nodes.passed == nodes.blocks, "the index returned to its block"
    nodes.keep_unchanged()
    assert last_owners(view, nodes, wanted) == [], "the pool may have used every free block"


def busy_history(seed: int) -> RamPool:
    """Return a pool whose metadata has old nodes of many devices, with thin ids that are used again."""
    choose = random.Random(seed)
    ram = RamPool(data_blocks=600, block_size=1, metadata_blocks=128)
    for _ in range(40):
        alive = ram.pool.metadata.thin_ids()
        if len(alive) > 3:
            ram.message(f"delete {choose.choice(alive)}")
            continue
        thin_id = choose.choice([each for each in range(8) if each not in alive])
        written(ram, thin_id, choose.randrange(1, 150), choose.randrange(50))
    return ram


@pytest.mark.parametrize("seed", range(20))
def test_damaged_old_nodes_change_nothing_else(seed: int) -> None:
    ram = busy_history(seed)
    choose = random.Random(seed)
    counts = MetadataView(ram.metadata).metadata_counts()
    free = [block for begin, end in free_runs(counts, 0, counts.nr_blocks) for block in range(begin, end)]
    live = {thin_id: ram.blocks_of(thin_id) for thin_id in ram.pool.metadata.thin_ids()}
    used = {block for blocks in live.values() for block in blocks.values()}
    for _ in range(20):
        block = choose.choice(free)
        content = bytearray(ram.metadata.read(block))
        for _ in range(choose.randrange(1, 5)):
            at = choose.randrange(choose.choice((64, BLOCK)))
            content[at] ^= 1 << choose.randrange(8)
        ram.metadata.content[block] = bytes(content)
        ram.metadata.log = []
        found = owners(ram)
        assert not ram.metadata.log, "the search writes nothing"
        assert not used & found.keys()
    assert not ram.problems()
    assert {thin_id: ram.blocks_of(thin_id) for thin_id in live} == live


HISTORIES = st.lists(
    st.tuples(
        st.sampled_from(
            ("create", "snap", "write", "write", "write", "discard", "delete", "commit", "crash")
        ),
        st.integers(0, 5),
        st.integers(0, 20),
        st.integers(1, 6),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(HISTORIES, st.sampled_from((40, 64, 256)))
def test_a_named_owner_had_the_block_at_some_time(
    history: list[tuple[str, int, int, int]], metadata_blocks: int
) -> None:
    oracle = OwnerOracle(metadata_blocks)
    for step in history:
        oracle.play(*step)
    oracle.ram.commit()
    for block, thin_id in owners(oracle.ram).items():
        assert thin_id in oracle.ever[block]
