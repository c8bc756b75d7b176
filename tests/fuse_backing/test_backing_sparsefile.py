"""The measured freed bytes of a real file agree with a model of bytes and blocks."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from fuse_backing import allocation
from fuse_backing.accounting import mapped
from fuse_backing.sparsefile import SparseFile

BLOCK = 4096
SIZE = 24 * BLOCK

offsets = st.integers(0, SIZE - 1) | st.integers(0, SIZE // BLOCK - 1).map(lambda block: block * BLOCK)
lengths = st.integers(1, SIZE) | st.integers(1, SIZE // BLOCK).map(lambda blocks: blocks * BLOCK)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SparseFile]:
    if os.statvfs(tmp_path).f_frsize != BLOCK:
        pytest.skip(f"needs a host file system with blocks of {BLOCK} bytes")
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield SparseFile(fd)
    os.close(fd)


def test_a_punch_frees_what_was_allocated(file: SparseFile) -> None:
    os.pwrite(file.fd, b"x" * 8 * BLOCK, 0)
    change = file.punch(2 * BLOCK, 4 * BLOCK)
    assert (change.allocated, change.freed, change.errno) == (4 * BLOCK, 4 * BLOCK, 0)
    assert file.allocated_ranges(0, 8 * BLOCK) == [(0, 2 * BLOCK), (6 * BLOCK, 8 * BLOCK)]
    assert file.size == 8 * BLOCK


def test_punching_a_hole_frees_nothing(file: SparseFile) -> None:
    os.ftruncate(file.fd, SIZE)
    change = file.punch(0, SIZE)
    assert (change.allocated, change.freed) == (0, 0)


def test_part_of_a_block_is_zeroed_and_stays(file: SparseFile) -> None:
    os.pwrite(file.fd, b"x" * BLOCK, 0)
    change = file.punch(100, 200)
    assert (change.allocated, change.freed) == (200, 0)
    assert os.pread(file.fd, BLOCK, 0) == b"x" * 100 + b"\0" * 200 + b"x" * (BLOCK - 300)


@pytest.mark.extents
def test_a_zero_range_keeps_the_blocks(file: SparseFile) -> None:
    os.pwrite(file.fd, b"x" * 8 * BLOCK, 0)
    change = file.zero(0, 8 * BLOCK)
    assert (change.allocated, change.freed, change.errno) == (8 * BLOCK, 0, 0)
    assert os.pread(file.fd, 8 * BLOCK, 0) == bytes(8 * BLOCK)
    assert file.allocated() == 8 * BLOCK


def test_an_allocation_beyond_the_end_can_be_punched_away(file: SparseFile) -> None:
    assert file.allocate(0, 8 * BLOCK).freed == 0
    assert (file.size, file.allocated()) == (0, 8 * BLOCK)
    assert file.punch(0, 8 * BLOCK).allocated == 8 * BLOCK


def test_a_punch_that_could_not_be_measured_claims_nothing(
    file: SparseFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.pwrite(file.fd, b"x" * 8192, 0)

    def fail(*_: int) -> list[allocation.MappedExtent]:
        raise OSError(5, "the map can't be read")

    def fail_later(fd: int, offset: int, length: int) -> list[allocation.MappedExtent]:
        monkeypatch.setattr(mapped, "mapped_extents", fail)
        return allocation.mapped_extents(fd, offset, length)

    monkeypatch.setattr(mapped, "mapped_extents", fail_later)
    change = file.punch(0, 8192)
    assert (change.allocated, change.freed, change.errno) == (8192, 0, 0)
    os.pwrite(file.fd, b"x" * 8192, 0)
    change = file.punch(0, 8192)
    assert (change.allocated, change.freed, change.errno) == (0, 0, 5)
    assert os.pread(file.fd, 8192, 0) == b"x" * 8192


def test_a_refusal_is_in_the_result(tmp_path: Path, file: SparseFile) -> None:
    os.pwrite(file.fd, b"x" * BLOCK, 0)
    read_only = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        change = SparseFile(read_only).punch(0, BLOCK)
    finally:
        os.close(read_only)
    assert (change.allocated, change.freed, change.errno) == (BLOCK, 0, errno.EBADF)


class FileAgainstModel(RuleBasedStateMachine):
    """The file has a fixed size; the model is its bytes and the set of its allocated blocks."""

    path: Path

    def __init__(self) -> None:
        super().__init__()
        fd = os.open(self.path, os.O_TMPFILE | os.O_RDWR)
        os.ftruncate(fd, SIZE)
        self.file = SparseFile(fd)
        self.data = bytearray(SIZE)
        self.blocks: set[int] = set()
        self.freed = 0

    def teardown(self) -> None:
        os.close(self.file.fd)

    @rule(offset=offsets, length=lengths, byte=st.integers(1, 255))
    def write(self, offset: int, length: int, byte: int) -> None:
        length = min(length, SIZE - offset)
        os.pwrite(self.file.fd, bytes([byte]) * length, offset)
        self.data[offset : offset + length] = bytes([byte]) * length
        self.blocks |= set(range(offset // BLOCK, -(-(offset + length) // BLOCK)))

    @rule(offset=offsets, length=lengths)
    def punch(self, offset: int, length: int) -> None:
        end = min(offset + length, SIZE)
        held = sum(
            min(end, (block + 1) * BLOCK) - max(offset, block * BLOCK)
            for block in self.blocks
            if block * BLOCK < end and (block + 1) * BLOCK > offset
        )
        whole = set(range(-(-offset // BLOCK), end // BLOCK)) & self.blocks
        change = self.file.punch(offset, length)
        assert (change.errno, change.allocated, change.freed) == (0, held, len(whole) * BLOCK)
        self.blocks -= whole
        self.data[offset:end] = bytes(end - offset)
        self.freed += change.freed

    @rule(offset=offsets, length=lengths)
    def allocate(self, offset: int, length: int) -> None:
        length = min(length, SIZE - offset)
        assert self.file.allocate(offset, length).freed == 0
        self.blocks |= set(range(offset // BLOCK, -(-(offset + length) // BLOCK)))

    @rule()
    def sync(self) -> None:
        os.fsync(self.file.fd)

    @invariant()
    def the_bytes_are_the_models(self) -> None:
        assert os.pread(self.file.fd, SIZE + 1, 0) == self.data

    @invariant()
    def the_allocated_blocks_are_the_models(self) -> None:
        found = self.file.allocated_ranges(0, SIZE)
        assert {block for start, end in found for block in range(start // BLOCK, end // BLOCK)} == self.blocks


def test_a_punch_frees_the_bytes_that_the_model_frees(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    if status.f_frsize != BLOCK:
        pytest.skip(f"needs a host file system with blocks of {BLOCK} bytes")

    class FileMachine(FileAgainstModel):
        path = tmp_path

    run_state_machine_as_test(
        FileMachine,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
