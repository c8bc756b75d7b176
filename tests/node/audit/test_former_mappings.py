"""The last owners are read beside a pool that commits, and no block gets an owner that never had it."""

import random

import pytest

from tests.thin.owner_oracle import OwnerOracle
from tests.thin.ram_store import BLOCK, RamStore
from thinsim.node.audit.former_mappings import former_mappings
from thinsim.thin.metadata.superblock import LOCATION

OPERATIONS = ("create", "snap", "write", "write", "write", "discard", "delete", "commit")


SEEDS = 12


class BusyStore(RamStore):
    """A `BusyStore` has the metadata of a pool that goes on after every *pause* reads."""

    def __init__(self, oracle: OwnerOracle, choose: random.Random, pause: int) -> None:
        super().__init__(oracle.ram.metadata.blocks)
        self._oracle = oracle
        self._choose = choose
        self._pause = pause
        self._reads = 0

    def read(self, block: int) -> bytes:
        self._reads += 1
        if self._reads % self._pause == 0:
            play(self._oracle, self._choose, 3)
        return self._oracle.ram.metadata.read(block)


def play(oracle: OwnerOracle, choose: random.Random, steps: int) -> None:
    for _ in range(steps):
        oracle.play(
            choose.choice(OPERATIONS), choose.randrange(6), choose.randrange(20), choose.randrange(1, 7)
        )
    oracle.ram.commit()


@pytest.mark.parametrize(("pause", "least"), [(7, 0), (40, 100)], ids=["all blocks used again", "some"])
def test_a_pool_may_commit_while_its_old_nodes_are_read(pause: int, least: int) -> None:
    named = 0
    for seed in range(SEEDS):
        choose = random.Random(seed)
        oracle = OwnerOracle(choose.choice((64, 128)))
        play(oracle, choose, 100)
        for _ in range(5):
            for run in former_mappings(BusyStore(oracle, choose, pause)).runs:
                named += run.end - run.begin
                assert all(run.thin_id in oracle.ever[block] for block in range(run.begin, run.end))
        assert not former_mappings(oracle.ram.metadata).fault
    assert named >= least


def test_metadata_without_a_superblock_has_a_fault() -> None:
    store = OwnerOracle(64).ram.metadata
    store.content[LOCATION] = bytes(BLOCK)
    found = former_mappings(store)
    assert "not a valid superblock" in found.fault
    assert not found.runs


def test_a_device_that_cannot_be_read_has_a_fault() -> None:
    store = OwnerOracle(64).ram.metadata
    store.fails.add("read")
    assert former_mappings(store).fault
