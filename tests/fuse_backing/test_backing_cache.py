"""The kernel may keep names and attributes of a store, and no change through the mount is hidden by that."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from fuse_backing.store_client import StoreClient
from fuse_backing.system_calls import renameat2
from tests.fuse_backing.backing_store import DEADLINE, Store, host_fallocate, names_in
from tests.fuse_backing.tree_operations import OperatedDirectory, RandomOperations, tree

pytestmark = pytest.mark.rig

BLOCK = 4096
PUNCH = 3
EXCHANGE = 2
OPERATIONS = 2000
without_uring = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)

MakeStore = Callable[..., Store]


def asked(store: Store, *operations: str) -> int:
    """Return the number of requests of some kinds that the kernel has sent."""
    found = trio.run(StoreClient(store.control).latencies).operations
    return sum(found[name].count for name in operations if name in found)


@without_uring
def test_a_change_on_the_host_shows_at_once_without_a_cache(store: Store) -> None:
    store.file("a").write_bytes(b"x")
    assert store.file("a").stat().st_size == 1
    store.host("a").write_bytes(b"x" * 7)
    assert store.file("a").stat().st_size == 7
    store.host("a").unlink()
    assert not store.file("a").exists()
    store.host("b").touch()
    assert names_in(store.mountpoint) == ["b"]


@without_uring
def test_the_kernel_uses_what_it_keeps(make_store: MakeStore) -> None:
    store = make_store("--cache", "3600")
    store.host("d").mkdir()
    store.host("d/a").write_bytes(b"x")
    assert store.file("d/a").stat().st_size == 1
    before = asked(store, "lookup", "getattr")
    for _ in range(100):
        assert store.file("d/a").stat().st_size == 1
    assert asked(store, "lookup", "getattr") - before <= 1


@without_uring
def test_a_list_is_kept_until_its_directory_changes(store: Store) -> None:
    store.file("d").mkdir()
    for number in range(100):
        store.host(f"d/{number}").touch()
    expected, end = names_in(store.host("d")), time.monotonic() + DEADLINE
    while True:  # a list is kept only some time after the last change
        before = asked(store, "readdir", "readdirplus")
        assert names_in(store.file("d")) == expected
        if asked(store, "readdir", "readdirplus") == before:
            break
        assert time.monotonic() < end
    store.host("d/new").touch()
    assert names_in(store.file("d")) == sorted([*expected, "new"])
    store.file("d/new").unlink()
    assert names_in(store.file("d")) == expected


@without_uring
def test_links_and_sizes_are_those_of_the_host_with_a_cache(make_store: MakeStore) -> None:
    store = make_store("--cache", "3600")
    for name in ("a", "c"):
        store.file(name).write_bytes(b"x" * 4 * BLOCK)
    store.file("b").hardlink_to(store.file("a"))
    assert [store.file(name).stat().st_nlink for name in ("a", "b", "c")] == [2, 2, 1]
    with store.file("b").open("r+b", buffering=0) as file:
        assert store.file("a").stat().st_blocks == store.host("a").stat().st_blocks
        assert host_fallocate(file.fileno(), PUNCH, 0, 2 * BLOCK) == 0
        assert store.file("a").stat().st_blocks == store.host("a").stat().st_blocks
        os.pwrite(file.fileno(), b"y", 9 * BLOCK)
        assert store.file("a").stat().st_size == 9 * BLOCK + 1
        os.ftruncate(file.fileno(), BLOCK)
        assert store.file("a").stat().st_size == BLOCK
    store.file("a").unlink()
    assert store.file("b").stat().st_nlink == 1
    renameat2(-100, os.fsencode(store.file("b")), -100, os.fsencode(store.file("c")), EXCHANGE)
    assert (store.file("b").stat().st_size, store.file("c").stat().st_size) == (4 * BLOCK, BLOCK)
    store.file("b").rename(store.file("c"))
    assert names_in(store.mountpoint) == ["c"]
    assert store.file("c").stat().st_size == 4 * BLOCK


@without_uring
def test_random_operations_have_the_results_of_a_plain_directory_with_a_cache(
    make_store: MakeStore, tmp_path: Path
) -> None:
    store, plain, random = make_store("--cache", "3600"), tmp_path / "plain", RandomOperations(3)
    plain.mkdir()
    plain.chmod(os.stat(store.directory).st_mode & 0o7777)  # noqa: PTH116
    served, oracle = OperatedDirectory(store.mountpoint), OperatedDirectory(plain)
    try:
        for number in range(OPERATIONS):
            what, step = random.next()
            expected, found = oracle.outcome(step), served.outcome(step)
            assert found == expected, f"operation {number}: {what}"
    finally:
        served.close_all()
        oracle.close_all()
    assert tree(store.mountpoint) == tree(store.directory) == tree(plain)
