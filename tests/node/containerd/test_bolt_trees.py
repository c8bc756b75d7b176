"""The reader of bbolt files returns what a writer has put into them, whatever the shape of the trees."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.node.containerd.bolt_trees import SHAPES, TREES, tree_of
from tests.node.containerd.bolt_writer import BoltShape, BoltTree, BoltWriter, write_bolt
from thinsim.node.containerd.bolt import read_database
from thinsim.node.containerd.bolt_meta import PAGE_SIZES, checksum_of

SLOW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

DEEP: BoltTree = {
    b"values": {bytes([number]): bytes([number]) * number for number in range(1, 200)},
    b"large": {b"one": b"1" * 50_000, b"two": b""},
    b"inline": {b"a": b"b"},
    b"empty": {},
    b"nested": {b"nested": {b"nested": {b"key": b"value", b"empty": {}}}},
}


@SLOW
@given(tree=TREES, before=TREES, shape=SHAPES)
def test_every_tree_is_read_as_it_was_written(
    tmp_path: Path, tree: BoltTree, before: BoltTree, shape: BoltShape
) -> None:
    found = read_database(write_bolt(tmp_path / "db", before, tree, shape=shape))
    assert tree_of(found.root) == tree
    assert found.transaction == 3
    assert found.passed_over == ""


def test_keys_are_in_order_and_buckets_have_their_sequence(tmp_path: Path) -> None:
    found = read_database(write_bolt(tmp_path / "db", DEEP, shape=BoltShape(512, 2, 2)))
    assert list(found.root.buckets[b"values"].values) == [bytes([number]) for number in range(1, 200)]
    assert found.root.buckets[b"values"].sequence == 199


@pytest.mark.parametrize("page_size", PAGE_SIZES[:-6])
@pytest.mark.parametrize("damaged", [None, 0, 1])
def test_every_page_size_is_found_even_if_one_meta_page_is_damaged(
    tmp_path: Path, page_size: int, damaged: int | None
) -> None:
    path = write_bolt(tmp_path / "db", {b"before": b"1"}, DEEP, shape=BoltShape(page_size))
    if damaged is not None:
        with path.open("r+b") as file:
            file.seek(damaged * page_size)
            file.write(bytes(80))
    found = read_database(path)
    # Transaction 3 is in page 1, and transaction 2 in page 0.
    assert tree_of(found.root) == ({b"before": b"1"} if damaged == 1 else DEEP)
    assert found.passed_over.startswith("" if damaged is None else f"{path}: page {damaged}: ")
    assert bool(found.passed_over) == (damaged is not None)


def test_a_new_file_has_an_empty_root(tmp_path: Path) -> None:
    found = read_database(write_bolt(tmp_path / "db"))
    assert tree_of(found.root) == {}
    assert found.transaction == 1


def test_the_checksum_is_fnv_1a() -> None:
    # The value is a test vector of draft-eastlake-fnv.
    assert checksum_of(b"foobar") == 0x85944171F73967E8


HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_read_needs_no_lock_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = write_bolt(tmp_path / "db", DEEP)
    content, about = path.read_bytes(), path.stat()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- of names, not paths
        assert tree_of(read_database(path).root) == DEEP
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
        holder.communicate("")
    after = path.stat()
    assert path.read_bytes() == content
    assert (after.st_mtime_ns, after.st_ctime_ns, after.st_size) == (
        about.st_mtime_ns,
        about.st_ctime_ns,
        about.st_size,
    )


def test_the_file_is_opened_only_for_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_bolt(tmp_path / "db", DEEP)
    opened = []
    really_open = os.open

    def spied(name: Path, flags: int) -> int:
        opened.append(flags)
        return really_open(name, flags)

    monkeypatch.setattr(os, "open", spied)
    read_database(path)
    assert [flags & (os.O_ACCMODE | os.O_CLOEXEC | os.O_CREAT) for flags in opened] == [os.O_CLOEXEC]


def test_a_transaction_without_its_meta_page_is_not_seen(tmp_path: Path) -> None:
    writer = BoltWriter(tmp_path / "db")
    writer.commit(DEEP)
    writer.write_pages({b"never": b"committed"})
    assert tree_of(read_database(tmp_path / "db").root) == DEEP
    writer.close()
