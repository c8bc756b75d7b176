"""A store needs few descriptors for the files that the kernel knows, and survives a lack of them."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuse_backing.inodes import InodeTable
from tests.fuse_backing.backing_store import DEADLINE, Store

rig = pytest.mark.rig
without_uring = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)


@pytest.fixture
def small_limit() -> Iterator[int]:
    """Let processes started by the test have 256 descriptors."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield 256
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


@rig
@without_uring
def test_more_open_files_than_descriptors_are_an_error_and_the_store_works_on(
    store: Store, small_limit: int
) -> None:
    resource.prlimit(store.server.pid, resource.RLIMIT_NOFILE, (small_limit, small_limit))
    opened = []
    try:
        failure = None
        for number in range(1000):
            try:
                opened.append(os.open(store.file(f"f{number}"), os.O_RDWR | os.O_CREAT))
            except OSError as error:
                failure = error.errno
                break
            os.pwrite(opened[-1], str(number).encode(), 0)
        assert failure == errno.EMFILE
        assert len(opened) > 64
        for number, fd in enumerate(opened):
            assert os.pread(fd, 10, 0) == str(number).encode()
    finally:
        for fd in opened:
            os.close(fd)
    for number in range(len(opened)):
        assert store.file(f"f{number}").read_bytes() == str(number).encode()
    store.file("d").mkdir()
    store.file("d/after").write_bytes(b"after")
    assert store.host("d/after").read_bytes() == b"after"
    assert store.server.poll() is None
    store.server.send_signal(signal.SIGTERM)
    assert store.server.wait(DEADLINE) == 0


@pytest.mark.root("it opens files by their handles")
def test_a_table_keeps_few_descriptors_and_finds_every_file_again(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}").write_bytes(b"x" * number)
    directory = os.open(tmp_path, os.O_RDONLY)
    table = InodeTable(directory, most_descriptors=16)
    if not table.has_handles:
        pytest.skip("needs a host with file handles")
    try:
        found = [table.find(table.root, str(number).encode())[0] for number in range(200)]
        assert table.open_descriptors <= 16
        for number, inode in enumerate(found):
            assert os.fstat(table.descriptor(inode)).st_size == number
            assert table.find(table.root, str(number).encode())[0] is inode
        assert table.open_descriptors <= 16
        (tmp_path / "7").unlink()
        with pytest.raises(OSError, match="Stale"):
            table.descriptor(found[7])
    finally:
        table.close()
        os.close(directory)


@pytest.mark.parametrize("use_handles", [True, False])
def test_a_reused_number_of_the_host_is_a_new_file(tmp_path: Path, use_handles: bool) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    table = InodeTable(directory, use_handles=use_handles, most_descriptors=1)
    try:
        seen = set()
        (tmp_path / "other").touch()
        for _ in range(50):
            (tmp_path / "a").touch()
            inode, _ = table.find(table.root, b"a")
            table.find(table.root, b"other")
            assert inode.number not in seen
            seen.add(inode.number)
            (tmp_path / "a").unlink()
        assert len(table) == 51
    finally:
        table.close()
        os.close(directory)
