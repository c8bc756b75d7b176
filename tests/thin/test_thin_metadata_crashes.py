"""A crash after any prefix of the writes, or any subset, leaves the last committed transaction.

THINSIM_SUBSETS sets the number of subsets tried per commit (6). With THINSIM_CAMPAIGN, thin_check runs at
each crash point, else at one per commit.
"""

import os
import random
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.thin.conftest import Tally
from tests.thin.metadata_tools import needs_tools, thin_check
from tests.thin.ram_pool import RamPool
from tests.thin.ram_store import RamStore
from thinsim.thin.mapping import Run, join
from thinsim.thin.metadata.check import Checker
from thinsim.thin.metadata.metadata_snapshot import reserve_snapshot
from thinsim.thin.metadata.pool_metadata import PoolMetadata

BLOCK_SECTORS = 1
SUBSETS = int(os.environ.get("THINSIM_SUBSETS", "6"))
CAMPAIGN = bool(os.environ.get("THINSIM_CAMPAIGN"))
TABLE = "crash points of a replayed write log"


class PoolContent(NamedTuple):
    """A `PoolContent` has the state that a transaction commits."""

    transaction_id: int
    held: bool
    mappings: dict[int, list[Run]]


def content_of(ram: RamPool) -> PoolContent:
    pool = ram.pool
    return PoolContent(
        pool.metadata.superblock.transaction_id,
        bool(pool.metadata.superblock.held_root),
        {int(thin_id): pool.mappings(thin_id) for thin_id in pool.thin_ids()},
    )


def opened(store: RamStore) -> PoolContent:
    metadata = PoolMetadata(store, BLOCK_SECTORS)
    assert Checker(metadata).check() == []
    return PoolContent(
        metadata.superblock.transaction_id,
        bool(metadata.superblock.held_root),
        {int(thin_id): list(join(metadata.entries(thin_id))) for thin_id in metadata.thin_ids()},
    )


class LoggedCommit(NamedTuple):
    """A `LoggedCommit` has the device before a commit, its writes, and the content before and after."""

    start: RamStore
    writes: list[tuple[int, bytes] | None]
    before: PoolContent
    after: PoolContent


def split(log: list[tuple[int, bytes] | None]) -> list[list[tuple[int, bytes] | None]]:
    """Return the writes of each commit; they end with the superblock and a flush."""
    ends = [at + 2 for at, write in enumerate(log) if write is not None and write[0] == 0]
    return [log[begin:end] for begin, end in pairwise([0, *ends])]


def history() -> list[LoggedCommit]:
    """Carry out a history that touches all kinds of blocks, and record the writes of each commit."""
    commits: list[LoggedCommit] = []
    ram = RamPool(data_blocks=2000, block_size=BLOCK_SECTORS, metadata_blocks=512)
    content, store = content_of(ram), ram.metadata.copy()
    ram.metadata.log = []

    def note() -> None:
        nonlocal content, store
        ram.commit()
        *repeated, last = split(ram.metadata.log or [])
        for writes in repeated:  # before a metadata snapshot the pool commits again
            commits.append(LoggedCommit(store, writes, content, content))
            store = store.copy()
            store.content.update(write for write in writes if write is not None)
        store.blocks = ram.metadata.blocks
        commits.append(LoggedCommit(store, last, content, content_of(ram)))
        content, store = commits[-1].after, ram.metadata.copy()
        ram.metadata.log = []

    devices = {}
    for thin_id in range(3):
        ram.message(f"create_thin {thin_id}")
        note()
        devices[thin_id] = ram.open(thin_id, 3000)
        ram.write_blocks(devices[thin_id], 0, 300)
        note()
    for snap in range(3, 9):
        ram.message(f"create_snap {snap} {snap % 3}")
        note()
    reserve_snapshot(ram.pool.metadata.transaction)
    note()
    for thin_id in (0, 1):
        ram.write_blocks(devices[thin_id], 100, 120)
        note()
        ram.discard_blocks(devices[thin_id], 0, 250)
        note()
    ram.message("set_transaction_id 0 1")
    note()
    for snap in (3, 5, 8):
        ram.message(f"delete {snap}")
        note()
    ram.message("release_metadata_snap")
    note()
    ram.data_blocks, ram.metadata.blocks = 40000, 600
    ram.pool.grow(40000)
    note()
    assert ram.problems() == []
    assert len(commits) > 20
    return commits


@pytest.fixture(scope="module")
def commits() -> list[LoggedCommit]:
    return history()


def test_the_superblock_is_written_last_between_two_flushes(commits: list[LoggedCommit]) -> None:
    for commit in commits:
        assert commit.writes[-1] is None
        assert commit.writes[-3] is None
        last = commit.writes[-2]
        assert last is not None
        assert last[0] == 0
        earlier = [write[0] for write in commit.writes[:-3] if write is not None]
        assert len(earlier) == len(commit.writes) - 3
        assert 0 not in earlier


def test_no_block_of_the_last_transaction_is_overwritten_before_the_superblock(
    commits: list[LoggedCommit],
) -> None:
    for commit in commits:
        metadata = PoolMetadata(commit.start.copy(), BLOCK_SECTORS)
        used = {block for block in range(metadata.space.nr_blocks) if metadata.space.count(block)}
        written = {write[0] for write in commit.writes[:-3] if write is not None}
        assert not written & used


def test_every_prefix_of_the_writes_leaves_a_whole_transaction(
    commits: list[LoggedCommit], tally: Tally
) -> None:
    points = 0
    for commit in commits:
        store = commit.start.copy()
        for number, write in enumerate(commit.writes):
            if write is None:
                continue
            assert opened(store.copy()) == commit.before, f"before write {number}"
            store.content[write[0]] = write[1]
            points += 1
        assert opened(store) == commit.after
    tally(TABLE, "prefixes of the writes, opened and checked", {"crash points": points})
    assert points > 150


def test_any_subset_of_the_writes_before_the_superblock_leaves_the_last_transaction(
    commits: list[LoggedCommit], tally: Tally
) -> None:
    choose = random.Random(1)
    for commit in commits:
        writes = [write for write in commit.writes[:-3] if write is not None]
        for _ in range(SUBSETS):
            store = commit.start.copy()
            store.content.update(choose.sample(writes, choose.randint(0, len(writes))))
            assert opened(store) == commit.before
    tally(TABLE, "subsets of the writes, opened and checked", {"crash points": SUBSETS * len(commits)})


@needs_tools
def test_thin_check_accepts_crash_points(commits: list[LoggedCommit], tmp_path: Path, tally: Tally) -> None:
    choose, checked = random.Random(2), 0
    for commit in commits:
        writes = [write for write in commit.writes if write is not None]
        prefixes = range(len(writes) + 1)
        for length in prefixes if CAMPAIGN else choose.sample(prefixes, 1):
            store = commit.start.copy()
            store.content.update(writes[:length])
            assert thin_check(store, tmp_path / "metadata") == ""
            checked += 1
        for _ in range(SUBSETS if CAMPAIGN else 0):
            store = commit.start.copy()
            store.content.update(choose.sample(writes[:-1], choose.randint(0, len(writes) - 1)))
            assert thin_check(store, tmp_path / "metadata") == ""
            checked += 1
    tally(TABLE, "prefixes and subsets, thin_checked", {"crash points": checked})


def test_a_superblock_that_is_torn_within_its_sector_is_not_taken_for_one(
    commits: list[LoggedCommit],
) -> None:
    commit = commits[5]
    last = commit.writes[-2]
    assert last is not None
    store = commit.start.copy()
    store.content.update(write for write in commit.writes[:-3] if write is not None)
    # A device writes whole sectors; the rest of the superblock's block is zeros before and after.
    store.content[0] = last[1][:512] + store.content[0][512:]
    assert opened(store) == commit.after


def test_the_data_device_is_flushed_before_anything_is_written() -> None:
    ram = RamPool()
    order: list[str] = []
    device = ram.thin(1)
    ram.write_blocks(device, 0, 3)
    ram.pool.metadata.transaction.before_commit = lambda: order.append("data flushed")
    ram.metadata.log = []
    write = ram.metadata.write

    def noted(block: int, content: bytes) -> None:
        order.append("metadata written")
        write(block, content)

    ram.metadata.write = noted  # type: ignore[method-assign]
    ram.commit()
    assert order[0] == "data flushed"
    assert order.count("data flushed") == 1
    assert "metadata written" in order
