"""A store needs few descriptors for the files that the kernel knows, and survives a lack of them."""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuse_backing import mounts
from fuse_backing.inodes import InodeTable
from tests.fuse_backing.backing_store import COMMAND, DEADLINE, Store, host_fallocate, run_command
from tests.repository import REPOSITORY

rig = pytest.mark.rig
PUNCH = 3
without_uring = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)


@pytest.fixture
def limited_store(data_served_by: str, tmp_path: Path) -> Iterator[Store]:
    """Yield a store whose server may have 256 descriptors."""
    for name in ("dir", "mnt"):
        (tmp_path / name).mkdir()
    passthrough = "on" if data_served_by == "kernel" else "off"
    store = Store(tmp_path / "dir", tmp_path / "mnt", tmp_path / "control", tmp_path / "errors", passthrough)
    store.limits = ["--nofile=256:256"]
    store.start()
    yield store
    store.tear_down()
    assert mounts.mount_on(store.mountpoint) is None


@rig
@without_uring
def test_a_thousand_open_files_of_256_descriptors_are_an_error_and_lose_nothing(limited_store: Store) -> None:
    store = limited_store
    opened = []
    failures = set()
    try:
        for number in range(1000):
            try:
                fd = os.open(store.file(f"f{number}"), os.O_RDWR | os.O_CREAT)
            except OSError as error:
                failures.add(error.errno)
                continue
            opened.append((number, fd))
            os.pwrite(fd, str(number).encode(), 0)
            os.fsync(fd)
        assert failures == {errno.EMFILE}
        assert len(opened) > 64
        for number, fd in opened:
            assert os.pread(fd, 10, 0) == str(number).encode()
            assert store.host(f"f{number}").read_bytes() == str(number).encode()
            assert host_fallocate(fd, PUNCH, 0, 4096) == 0
            os.pwrite(fd, str(number).encode(), 0)
    finally:
        for _, fd in opened:
            os.close(fd)
    for number, _ in opened:
        assert store.file(f"f{number}").read_bytes() == str(number).encode()
    store.file("d").mkdir()
    store.file("d/after").write_bytes(b"after")
    assert store.host("d/after").read_bytes() == b"after"
    assert store.totals().events == len(opened)
    assert store.server.poll() is None
    store.server.send_signal(signal.SIGTERM)
    assert store.server.wait(DEADLINE) == 0
    assert not store.control.exists()
    # An open that failed has left no file behind.
    assert sorted(file.name for file in store.directory.glob("f*")) == sorted(f"f{n}" for n, _ in opened)


@rig
@pytest.mark.parametrize("limit", [256, 4096])
def test_mount_prints_a_small_limit_of_descriptors_with_the_fix(tmp_path: Path, limit: int) -> None:
    for name in ("dir", "mnt"):
        (tmp_path / name).mkdir()
    done = subprocess.run(
        ["prlimit", f"--nofile={limit}:{limit}", *COMMAND, "mount", tmp_path / "dir", tmp_path / "mnt"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
        cwd=REPOSITORY,
    )
    run_command("unmount", tmp_path / "mnt")
    remark = "the limit of 256 descriptors allows about 108 open files; raise it (ulimit -Hn, LimitNOFILE=)"
    assert (f"{tmp_path / 'mnt'}: {remark} and mount again" in done.stdout.splitlines()) == (limit == 256)


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
            with table.descriptor(inode) as fd:
                assert os.fstat(fd).st_size == number
            assert table.find(table.root, str(number).encode())[0] is inode
        assert table.open_descriptors <= 16
        (tmp_path / "7").unlink()
        with pytest.raises(OSError, match="Stale"), table.descriptor(found[7]):
            pass
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
