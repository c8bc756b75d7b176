"""Each copy of a bbolt file has the pages of one transaction, though a writer commits others meanwhile."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.node.containerd.bolt_trees import tree_of
from tests.node.containerd.bolt_writer import BoltShape, BoltWriter
from tests.node.containerd.committing_writer import state
from tests.repository import REPOSITORY
from thinsim.node.containerd.bolt import BoltDatabase, read_database
from thinsim.node.containerd.bolt_copy import TRIES, Pread
from thinsim.node.containerd.bolt_meta import META_END, BoltMeta
from thinsim.node.containerd.errors import ChangingDatabaseError, DamagedDatabaseError

SHAPE = BoltShape(512, 5, 3)


class ReadsWithActs:
    """A `ReadsWithActs` reads as os.pread does, and acts before each read of pages, as a writer might."""

    def __init__(self, *acts: Callable[[], object]) -> None:
        self._acts = list(acts)
        self.copies = 0

    def __call__(self, fd: int, size: int, offset: int) -> bytes:
        if size == META_END:
            return os.pread(fd, size, offset)
        if offset == 0:
            self.copies += 1
        # One page at a time, so that an act can come between any two of them.
        if self._acts:
            self._acts.pop(0)()
        return os.pread(fd, SHAPE.page_size, offset)


def is_one_state(database: BoltDatabase) -> bool:
    return tree_of(database.root) == state(database.transaction)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[BoltWriter]:
    writer = BoltWriter(tmp_path / "db", SHAPE)
    for number in range(2, 12):
        assert writer.commit(state(number)) == number
    yield writer
    writer.close()


def nothing() -> None:
    """Do nothing."""


@pytest.mark.parametrize("pages_before", [0, 1, 7, 20])
def test_a_commit_during_the_copy_makes_the_reader_begin_again(writer: BoltWriter, pages_before: int) -> None:
    reads = ReadsWithActs(*[nothing] * pages_before, lambda: writer.commit(state(12)))
    found = read_database(writer.path, reads)
    assert (found.transaction, reads.copies) == (12, 2)
    assert is_one_state(found)


@pytest.mark.parametrize("pages_before", [0, 1, 7, 20])
def test_the_pages_of_the_next_but_one_transaction_are_not_mixed_in(
    writer: BoltWriter, pages_before: int
) -> None:
    def commit_and_begin() -> None:
        writer.commit(state(12))
        writer.write_pages(state(13))

    reads = ReadsWithActs(*[nothing] * pages_before, commit_and_begin)
    found = read_database(writer.path, reads)
    # Only one newer meta page can be seen, and pages of the copied transaction are gone already.
    assert found.transaction == 12
    assert is_one_state(found)


def test_a_reader_that_allowed_one_newer_transaction_would_mix_two(
    writer: BoltWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit_and_begin() -> None:
        writer.commit(state(12))
        writer.write_pages(state(13))

    monkeypatch.setattr(BoltMeta, "__eq__", lambda a, b: abs(a.transaction - b.transaction) < 2)
    try:
        found = read_database(writer.path, ReadsWithActs(nothing, commit_and_begin))
    except DamagedDatabaseError:
        return
    assert not is_one_state(found)


def test_the_pages_of_the_next_transaction_do_not_disturb_the_copy(writer: BoltWriter) -> None:
    reads = ReadsWithActs(nothing, lambda: writer.write_pages(state(12)))
    found = read_database(writer.path, reads)
    assert (found.transaction, reads.copies) == (11, 1)
    assert is_one_state(found)


@pytest.mark.parametrize("look", [0, 1], ids=["first-look", "second-look"])
def test_a_meta_page_that_is_read_while_it_is_written_counts_as_absent(writer: BoltWriter, look: int) -> None:
    """The writer has written half of the meta page of transaction 12, in the place of that of 10."""
    looks = 0

    def pread(fd: int, size: int, offset: int) -> bytes:
        nonlocal looks
        if size != META_END:
            return os.pread(fd, size, offset)
        if offset == 0:
            looks += 1
            if looks == look + 1:
                old = os.pread(fd, size, 0)
                writer.write_pages(state(12))
                writer.write_meta()
                return os.pread(fd, size, 0)[:60] + old[60:]
        return os.pread(fd, size, offset)

    found = read_database(writer.path, pread)
    assert found.transaction == (12 if look == 0 else 11)
    assert is_one_state(found)


def test_a_writer_without_pause_ends_in_an_error_that_asks_to_try_again(
    writer: BoltWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pread(fd: int, size: int, offset: int) -> bytes:
        if size != META_END and offset == 0:
            writer.commit(state(writer.transaction + 1))
        return os.pread(fd, size, offset)

    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(ChangingDatabaseError, match=f"during each of {TRIES} reads; try again") as caught:
        read_database(writer.path, pread)
    assert str(caught.value).startswith(f"{writer.path}: ")
    assert len(waits) == TRIES - 1


def test_a_file_that_is_cut_while_it_is_read_is_an_error(writer: BoltWriter) -> None:
    def cut() -> None:
        os.truncate(writer.path, 3 * SHAPE.page_size)

    with pytest.raises(DamagedDatabaseError, match="the file was cut to 1536 bytes while it was read"):
        read_database(writer.path, ReadsWithActs(nothing, cut))


def test_each_read_beside_another_process_shows_one_state(tmp_path: Path) -> None:
    path = tmp_path / "db"
    command = [sys.executable, "-m", "tests.node.containerd.committing_writer", str(path)]
    slow: Pread = ReadsWithActs()
    seen: list[int] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "2\n"
        end = time.monotonic() + 2
        while time.monotonic() < end or len(seen) < 50:
            found = read_database(path, os.pread if len(seen) % 2 else slow)
            assert is_one_state(found)
            seen.append(found.transaction)
        process.communicate("")
    assert process.returncode == 0
    assert seen == sorted(seen)
    assert len(set(seen)) > 20
