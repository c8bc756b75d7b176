"""A damaged bbolt file is read correctly, or refused with its name, the page and the fault."""

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.node.containerd.bolt_trees import tree_of
from tests.node.containerd.bolt_writer import (
    BRANCH,
    FREELIST,
    HEADER,
    LEAF,
    META,
    BoltShape,
    BoltTree,
    branch_page,
    leaf_page,
    meta_page,
    write_bolt,
)
from tests.node.containerd.recorded_databases import unpacked
from thinsim.node.containerd.bolt import BoltDatabase, read_database
from thinsim.node.containerd.errors import DamagedDatabaseError

SIZE = 512
TREE: BoltTree = {
    b"values": {bytes([number]): bytes([number]) * 40 for number in range(1, 120)},
    b"large": {b"one": b"1" * 5000},
    b"inline": {b"a": b"b"},
    b"nested": {b"nested": {b"key": b"value"}},
}


def read_or_refused(path: Path) -> BoltDatabase | None:
    """Return the database, or None for a DamagedDatabaseError; any other exception fails the test."""
    try:
        return read_database(path)
    except DamagedDatabaseError as error:
        refusal = str(error)
    assert str(path) in refusal
    assert "\n" not in refusal
    return None


def sources(directory: Path) -> list[tuple[Path, int]]:
    """Return databases and their page sizes: one of the test writer, and one that containerd wrote."""
    written = write_bolt(directory / "written", {b"before": b""}, TREE, shape=BoltShape(SIZE, 7, 3))
    return [(written, SIZE), (unpacked("1.6", "metadata.db", directory), 4096)]


@pytest.mark.parametrize("which", [0, 1], ids=["written", "recorded"])
def test_a_file_cut_anywhere_is_read_correctly_or_refused(tmp_path: Path, which: int) -> None:
    path, page_size = sources(tmp_path)[which]
    content, whole = path.read_bytes(), tree_of(read_database(path).root)
    offsets = random.Random(1)
    cuts = {border + by for border in range(0, len(content), page_size) for by in (-1, 0, 1)}
    cuts |= {offsets.randrange(len(content)) for _ in range(200)}
    cut = tmp_path / "cut"
    refused = 0
    for length in sorted(cut for cut in cuts if 0 <= cut <= len(content)):
        cut.write_bytes(content[:length])
        found = read_or_refused(cut)
        refused += found is None
        assert found is None or tree_of(found.root) == whole
    assert refused > len(cuts) // 20


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), which=st.sampled_from([0, 1]))
def test_random_bytes_anywhere_raise_no_other_error(tmp_path: Path, data: st.DataObject, which: int) -> None:
    path, page_size = sources(tmp_path)[which]
    content = bytearray(path.read_bytes())
    pages = len(content) // page_size
    offsets = st.integers(0, len(content) - 1) | st.builds(
        # The first bytes of a page are its header and its elements, where a change matters most.
        lambda page, byte: page * page_size + byte,
        st.integers(0, pages - 1),
        st.integers(0, 63),
    )
    for offset, byte in data.draw(st.lists(st.tuples(offsets, st.integers(0, 255)), min_size=1, max_size=8)):
        content[offset] = byte
    damaged = tmp_path / "damaged"
    damaged.write_bytes(content)
    read_or_refused(damaged)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(0, 79), bits=st.integers(1, 255), page=st.sampled_from([0, 1]))
def test_a_flip_in_a_meta_page_leads_to_one_of_the_two_transactions(
    tmp_path: Path, offset: int, bits: int, page: int
) -> None:
    path = write_bolt(tmp_path / "db", {b"before": b""}, TREE, shape=BoltShape(SIZE))
    content = bytearray(path.read_bytes())
    content[page * SIZE + offset] ^= bits
    path.write_bytes(content)
    found = read_or_refused(path)
    assert found is not None
    in_the_meta = offset >= HEADER.size
    assert tree_of(found.root) == ({b"before": b""} if page == 1 and in_the_meta else TREE)
    assert bool(found.passed_over) == in_the_meta


def faulty(path: Path, *pages: bytes, root: int = 2, mark: int | None = None) -> Path:
    """Write a file whose pages from the third on are *pages*."""
    content = [meta_page(number, SIZE, root, mark or 2 + len(pages), 5 + number) for number in (0, 1)]
    path.write_bytes(b"".join(page + bytes(-len(page) % SIZE) for page in (*content, *pages)))
    return path


def element(flags: int, distance: int, key: int, value: int) -> bytes:
    """Return a leaf page with one element and no data."""
    return HEADER.pack(2, LEAF, 1, 0) + struct.pack("=IIII", flags, distance, key, value)


def bucket(root: int) -> bytes:
    return struct.pack("=QQ", root, 0)


FAULTS = {
    "page 2/k: it points to page 9, and the file's pages for data are 2 to 2": leaf_page(
        2, [(1, b"k", bucket(9))]
    ),
    "page 2: page 2 is reached a second time, from page 2": branch_page(2, [(b"k", 2)]),
    "page 2/k: a bucket of 5 bytes": leaf_page(2, [(1, b"k", b"short")]),
    "page 2/k: 0 bytes are less than the header of a page": leaf_page(2, [(1, b"k", bucket(0))]),
    "page 2/k: an inline bucket is a branch page, not a leaf page": leaf_page(
        2, [(1, b"k", bucket(0) + HEADER.pack(0, BRANCH, 0, 0))]
    ),
    "page 2: it is a branch page without elements": HEADER.pack(2, BRANCH, 0, 0),
    "page 2: it is a freelist page, and the root bucket needs a branch or leaf page": HEADER.pack(
        2, FREELIST, 0, 0
    ),
    "page 2: it is a meta page, and the root bucket needs a branch or leaf page": HEADER.pack(2, META, 0, 0),
    "page 2: the page has the unknown kind 0x3": HEADER.pack(2, 3, 0, 0),
    "page 2: the page has number 7": leaf_page(7, []),
    "page 2: 40 elements do not fit in 512 bytes": HEADER.pack(2, LEAF, 40, 0),
    "page 2: it has 9 overflow pages, and the last page is 2": HEADER.pack(2, LEAF, 0, 9),
    "page 2: element 0 has no key": element(0, 16, 0, 1),
    "page 2: element 0 has the unknown flags 0x6": element(6, 16, 1, 1),
    "page 2: element 0 begins at byte 20, and byte 31 is in use": element(0, 4, 1, 1),
    "page 2: element 0 ends at byte 533 of a page of 512 bytes": element(0, 16, 1, 500),
    "page 2/a: the key is not after the one before it": leaf_page(2, [(0, b"b", b""), (0, b"a", b"")]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_page_is_named(tmp_path: Path, fault: str) -> None:
    path = faulty(tmp_path / "db", FAULTS[fault])
    with pytest.raises(DamagedDatabaseError) as caught:
        read_database(path)
    assert str(caught.value).startswith(f"{path}: {fault}")
    assert (caught.value.path, caught.value.place) == (path, fault.partition(":")[0])


def test_two_buckets_cannot_share_a_page(tmp_path: Path) -> None:
    root = leaf_page(2, [(1, b"a", bucket(3)), (1, b"b", bucket(3))])
    with pytest.raises(DamagedDatabaseError, match="page 3 is reached a second time, from page 2/b"):
        read_database(faulty(tmp_path / "db", root, leaf_page(3, [])))


def test_a_cycle_of_branch_pages_ends(tmp_path: Path) -> None:
    pages = (branch_page(2, [(b"k", 3)]), branch_page(3, [(b"k", 2)]))
    with pytest.raises(DamagedDatabaseError, match="page 2 is reached a second time, from page 3"):
        read_database(faulty(tmp_path / "db", *pages))


def test_elements_that_share_bytes_cannot_multiply_the_work(tmp_path: Path) -> None:
    count = 4000
    table = b"".join(
        struct.pack("=IIII", 0, 16 * (count - index) + index, 1, 60_000) for index in range(count)
    )
    page = HEADER.pack(2, LEAF, count, 399) + table
    path = faulty(tmp_path / "db", page + bytes(400 * SIZE - len(page)), mark=402)
    with pytest.raises(DamagedDatabaseError, match="element 1 begins at byte"):
        read_database(path)


def test_a_chain_of_many_buckets_needs_no_deep_stack(tmp_path: Path) -> None:
    count = 5000
    pages = [leaf_page(2 + each, [(1, b"k", bucket(3 + each))]) for each in range(count)]
    path = faulty(tmp_path / "db", *pages, leaf_page(2 + count, [(0, b"end", b"reached")]))
    found, depth = read_database(path).root, 0
    while found.buckets:
        found, depth = found.buckets[b"k"], depth + 1
    assert (depth, found.values) == (count, {b"end": b"reached"})


FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "the file is empty": lambda page: b"",
    "page 0: the file ends after 60 of the 80 bytes of a meta page": lambda page: page[:60],
    "page 0: it is a SQLite database": lambda page: b"SQLite format 3\0" + bytes(8000),
    "page 0: it is not a page of a bbolt database: its magic is 0x74786574": lambda page: b"text" * 2000,
    "page 0: the format has version 3; thinsim reads version 2": lambda page: page[:20] + b"\3" + page[21:],
    "page 0: the checksum of the meta page is wrong": lambda page: page[:40] + b"\xff" + page[41:],
    "page 0: the page size 1000 is not a power of two": lambda page: (
        meta_page(0, 1000, 2, 4, 1) + bytes(9000)
    ),
    "page 0: the root bucket is in page 9, and the high water mark is 4": lambda page: (
        meta_page(0, SIZE, 9, 4, 1) + bytes(9000)
    ),
}


@pytest.mark.parametrize("fault", FOREIGN)
def test_a_file_that_is_no_bbolt_database_is_named_as_such(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "db"
    path.write_bytes(FOREIGN[fault](meta_page(0, SIZE, 2, 4, 1)))
    with pytest.raises(DamagedDatabaseError) as caught:
        read_database(path)
    assert str(caught.value).startswith(f"{path}: {fault}")


def test_a_high_water_mark_far_behind_the_end_reads_nothing(tmp_path: Path) -> None:
    path = faulty(tmp_path / "db", leaf_page(2, []), mark=1 << 50)
    with pytest.raises(DamagedDatabaseError, match="the file is cut short: it has 1536 bytes, not"):
        read_database(path)


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "db")
    with pytest.raises(DamagedDatabaseError, match="it is not a regular file"):
        read_database(tmp_path / "db")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedDatabaseError, match="it is not a regular file"):
        read_database(tmp_path)


def test_a_missing_file_is_the_usual_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_database(tmp_path / "db")
