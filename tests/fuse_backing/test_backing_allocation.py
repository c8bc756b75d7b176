"""Allocated ranges are found in real files on the host."""

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_backing import allocation, system_calls

KIB = 1024
BLOCK = 4096


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    if os.statvfs(tmp_path).f_frsize != BLOCK:
        pytest.skip(f"needs a host file system with blocks of {BLOCK} bytes")
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(params=["fiemap", "seek"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run each test with FIEMAP, and with the seeks that replace it."""
    way = str(request.param)
    if way == "seek":

        def refuse(*_: object) -> Iterator[allocation.Extent]:
            raise OSError(errno.EOPNOTSUPP, "no FIEMAP")

        monkeypatch.setattr(allocation, "fiemap", refuse)
    return way


@pytest.mark.usefixtures("either")
def test_an_empty_range_has_nothing_allocated(fd: int) -> None:
    os.pwrite(fd, b"x", 0)
    assert allocation.allocated_ranges(fd, 0, 0) == []


@pytest.mark.usefixtures("either")
def test_a_hole_has_nothing_allocated(fd: int) -> None:
    os.ftruncate(fd, 1 << 30)
    assert allocation.allocated_ranges(fd, 0, 1 << 30) == []
    assert allocation.allocated_bytes(fd, 0, 1 << 40) == 0


@pytest.mark.usefixtures("either")
def test_ranges_are_clipped_to_the_question(fd: int) -> None:
    os.pwrite(fd, b"x" * 16 * KIB, 16 * KIB)
    assert allocation.allocated_ranges(fd, 0, 1 << 20) == [(16 * KIB, 32 * KIB)]
    assert allocation.allocated_ranges(fd, 20 * KIB, 5) == [(20 * KIB, 20 * KIB + 5)]
    assert allocation.allocated_ranges(fd, 0, 17 * KIB) == [(16 * KIB, 17 * KIB)]
    assert allocation.allocated_ranges(fd, 32 * KIB, 1 << 20) == []


@pytest.mark.usefixtures("either")
def test_data_that_is_not_written_back_yet_is_allocated(fd: int) -> None:
    os.pwrite(fd, b"x" * BLOCK, 8 * BLOCK)
    assert allocation.allocated_bytes(fd, 0, 1 << 20) == BLOCK


@pytest.mark.usefixtures("either")
def test_more_extents_than_one_batch_holds_are_all_found(fd: int) -> None:
    count = 1000
    for number in range(count):
        os.pwrite(fd, b"x" * BLOCK, 2 * number * BLOCK)
    os.fsync(fd)
    expected = [(2 * number * BLOCK, (2 * number + 1) * BLOCK) for number in range(count)]
    assert allocation.allocated_ranges(fd, 0, 1 << 30) == expected


def test_preallocation_is_allocated_even_beyond_the_end_of_the_file(fd: int) -> None:
    os.pwrite(fd, b"x" * BLOCK, 0)
    system_calls.fallocate(fd, system_calls.FALLOC_FL_KEEP_SIZE, 16 * BLOCK, 4 * BLOCK)
    assert os.fstat(fd).st_size == BLOCK
    assert allocation.allocated_ranges(fd, 0, 1 << 40) == [(0, BLOCK), (16 * BLOCK, 20 * BLOCK)]


@pytest.mark.usefixtures("either")
def test_a_range_beyond_the_largest_file_has_nothing_allocated(fd: int) -> None:
    assert allocation.allocated_ranges(fd, (1 << 63) - 8192, 4096) == []


def test_a_host_without_fiemap_is_asked_with_seek() -> None:
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK):
        pytest.skip("needs a writable /dev/shm")
    descriptor = os.open(shm, os.O_TMPFILE | os.O_RDWR)
    try:
        os.pwrite(descriptor, b"x" * BLOCK, 3 * BLOCK)
        os.ftruncate(descriptor, 10 * BLOCK)
        assert allocation.allocated_ranges(descriptor, 0, 1 << 20) == [(3 * BLOCK, 4 * BLOCK)]
    finally:
        os.close(descriptor)


def test_a_closed_file_is_an_error(fd: int) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        allocation.allocated_ranges(1 << 20, 0, 1)


numbers = st.sets(st.integers(0, 60))


def as_ranges(members: set[int]) -> list[allocation.Range]:
    return allocation.merged((number, number + 1) for number in sorted(members))


@given(numbers)
def test_merged_ranges_cover_the_same_and_do_not_touch(members: set[int]) -> None:
    ranges = as_ranges(members)
    assert {number for start, end in ranges for number in range(start, end)} == members
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ranges))
    assert allocation.total(ranges) == len(members)


@given(numbers, numbers)
def test_ranges_without_others_are_the_difference_of_sets(members: set[int], removed: set[int]) -> None:
    left = allocation.without(as_ranges(members), as_ranges(removed))
    assert allocation.merged(left) == as_ranges(members - removed)
