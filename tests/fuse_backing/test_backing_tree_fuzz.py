"""A store gives the same results as a plain directory on the same host, for random operations."""

import os
from pathlib import Path

import pytest

from tests.fuse_backing.backing_store import Store
from tests.fuse_backing.tree_operations import OperatedDirectory, RandomOperations, tree

pytestmark = pytest.mark.rig

SHORT, LONG = 2000, 100_000
without_uring = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)


def compare(store: Store, plain: Path, seed: int, operations: int) -> None:
    plain.mkdir()
    plain.chmod(os.stat(store.directory).st_mode & 0o7777)  # noqa: PTH116
    random = RandomOperations(seed)
    served, oracle = OperatedDirectory(store.mountpoint), OperatedDirectory(plain)
    done: list[str] = []
    try:
        for number in range(operations):
            what, step = random.next()
            expected, found = oracle.outcome(step), served.outcome(step)
            done.append(what)
            assert found == expected, f"seed {seed}, operation {number}; the last: {done[-12:]}"
            if number % 1000 == 999:
                assert tree(store.mountpoint) == tree(plain)
    finally:
        served.close_all()
        oracle.close_all()
    expected_tree = tree(plain)
    assert tree(store.mountpoint) == expected_tree
    assert tree(store.directory) == expected_tree
    assert store.errors.read_bytes() == b""


@without_uring
@pytest.mark.parametrize("seed", [1, 2])
def test_random_operations_have_the_results_of_a_plain_directory(
    store: Store, tmp_path: Path, seed: int
) -> None:
    compare(store, tmp_path / "plain", seed, SHORT)


@pytest.mark.long
@without_uring
@pytest.mark.parametrize("seed", [11, 12])
def test_many_random_operations_have_the_results_of_a_plain_directory(
    store: Store, tmp_path: Path, seed: int
) -> None:
    compare(store, tmp_path / "plain", seed, LONG)
