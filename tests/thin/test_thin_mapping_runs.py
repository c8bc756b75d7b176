"""Runs of blocks are allocated, mapped and unmapped with few walks, and with the bytes of one walk each."""

import random
from bisect import bisect_right
from typing import Any

import pytest

from tests.thin.ram_store import RamStore
from thinsim.thin.metadata import btree_remove_run, space_map_disk
from thinsim.thin.metadata.btree import Btree
from thinsim.thin.metadata.btree_remove import removal_leaf
from thinsim.thin.metadata.btree_spine import Spine
from thinsim.thin.metadata.counting import find_free_in_both
from thinsim.thin.metadata.transaction import MetadataTransaction
from thinsim.thin.pool import Pool
from thinsim.thin.table import PoolFeatures
from thinsim.units import Sectors

BLOCK = 65536
FEATURES = PoolFeatures(skip_block_zeroing=True)


class DiscardHistory:
    """A `DiscardHistory` fills devices, takes snapshots, and discards ranges, all from one seed."""

    def __init__(self, seed: int, blocks: int, filled: int) -> None:
        self.random = random.Random(seed)
        self.blocks = blocks
        self.store = RamStore(8192)
        self.pool = Pool(FEATURES, Sectors(128), 4 * blocks, self.store)
        self.pool.commit()
        self.pool.create_thin(0)
        self.devices = [self.pool.open_thin(0, Sectors(128 * blocks))]
        self.write(0, range(filled))
        self.pool.commit()

    def write(self, device: int, blocks: range | list[int]) -> None:
        for block in blocks:
            thin = self.devices[device]
            thin.complete(thin.plan_write(block * BLOCK, BLOCK))

    def step(self) -> None:
        draw = self.random
        device = draw.randrange(len(self.devices))
        match draw.randrange(9):
            case 0 if len(self.devices) < 4:
                self.pool.create_snap(len(self.devices), device)
                self.devices.append(self.pool.open_thin(len(self.devices), Sectors(128 * self.blocks)))
            case 1:
                begin = draw.randrange(self.blocks - 400)
                self.write(device, range(begin, begin + 400))
            case 2:
                self.write(device, [draw.randrange(self.blocks) for _ in range(100)])
            case 3:
                self.pool.commit()
            case 4:
                self.pool.grow(self.pool.metadata.data.nr_blocks_running + draw.choice([1, 700, 20_000]))
            case _:
                begin = draw.randrange(self.blocks)
                length = min(draw.choice([1, 2, 50, 300, 1500, self.blocks]), self.blocks - begin)
                thin = self.devices[device]
                thin.complete(thin.plan_discard(begin * BLOCK, length * BLOCK))

    def metadata(self) -> dict[int, bytes]:
        self.pool.commit()
        assert self.pool.check() == []
        return dict(self.store.content)


def walk_per_key(tree: Btree, root: int, begin: int, end: int) -> tuple[int, int]:
    """Remove a run as dm_btree_remove_leaves does: walk once more when all keys are gone."""
    removed = 0
    while True:
        spine = Spine(tree.manager)
        node = removal_leaf(spine, tree.value_type, root, begin)
        if node is None:
            return spine.root, removed
        root = spine.root
        index = max(0, bisect_right(node.keys, begin) - 1)
        if index >= len(node) or not begin <= node.keys[index] < end:
            return root, removed
        tree.value_type.dec(node.values[index : index + 1])
        begin = node.keys[index] + 1
        node.delete(index)
        removed += 1


def ends(seed: int, blocks: int, filled: int, steps: int) -> list[dict[int, bytes]]:
    history = DiscardHistory(seed, blocks, filled)
    found = []
    for _ in range(steps):
        history.step()
        found.append(history.metadata())
    return found


@pytest.mark.parametrize("seed", range(8))
def test_the_metadata_are_those_of_a_walk_per_key(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ends(seed, 6000, [0, 500, 3000, 6000][seed % 4], 25)
    monkeypatch.setattr(Btree, "remove_run", walk_per_key)
    monkeypatch.setattr(MetadataTransaction, "add", MetadataTransaction.change)  # nothing stays open
    assert quick == ends(seed, 6000, [0, 500, 3000, 6000][seed % 4], 25)


def test_a_sequential_write_needs_few_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    real = Spine.step

    def counted(*arguments: Any) -> object:
        steps.append(1)
        return real(*arguments)

    monkeypatch.setattr(Spine, "step", counted)
    DiscardHistory(0, 6000, 6000)
    assert 0 < len(steps) < 6000 / 5


def test_a_sequential_write_needs_few_searches_for_free_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = []

    def counted(*arguments: Any) -> int | None:
        searches.append(1)
        return find_free_in_both(*arguments)

    monkeypatch.setattr(space_map_disk, "find_free_in_both", counted)
    DiscardHistory(0, 6000, 6000)
    assert 0 < len(searches) < 6000 / 100


def test_the_metadata_of_a_deep_tree_are_those_of_a_walk_per_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def discarded() -> dict[int, bytes]:
        history = DiscardHistory(0, 70_000, 70_000)
        for begin, length in ((20_000, 30_000), (65_000, 3000), (0, 9000), (40, 69_000)):
            thin = history.devices[0]
            thin.complete(thin.plan_discard(begin * BLOCK, length * BLOCK))
        return history.metadata()

    walks = []

    def counted(*arguments: Any) -> object:
        walks.append(1)
        return removal_leaf(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(btree_remove_run, "removal_leaf", counted)
        quick = discarded()
    assert len(walks) < 70_000 / 20
    monkeypatch.setattr(Btree, "remove_run", walk_per_key)
    assert quick == discarded()
