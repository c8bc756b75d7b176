"""Copies on a store have all bytes, and calls that FUSE lacks end as the kernel answers them."""

import errno
import fcntl
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import trio

from fuse_backing.store_client import StoreClient
from tests.fuse_backing.backing_store import DEADLINE, Store, failure, host_fallocate, names_in
from tests.fuse_backing.hosts import PUNCH, on
from tests.host_file_systems import CLONING, MIB, HostFileSystem

pytestmark = pytest.mark.rig

BLOCK = 4096
FICLONE = 0x40049409
without_uring = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)
on_each_kind = on("ext4", "xfs with reflink", "btrfs", of=("tmpfs", "overlay on ext4"))


def link(fd: int, directory: Path, name: str) -> None:
    """Give a file without a name its first name: linkat(2), AT_SYMLINK_FOLLOW."""
    at = os.open(directory, os.O_PATH)
    try:
        os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=at, follow_symlinks=True)
    finally:
        os.close(at)


@on_each_kind
@without_uring
def test_a_file_without_a_name_works_as_on_the_host(host: HostFileSystem, fitting_store: Store) -> None:
    store = fitting_store
    os.close(os.open(host.directory, os.O_TMPFILE | os.O_RDWR, 0o600))
    old = os.umask(0o027)
    try:
        fd = os.open(store.mountpoint, os.O_TMPFILE | os.O_RDWR, 0o666)
    finally:
        os.umask(old)
    with os.fdopen(fd, "r+b", buffering=0) as file:
        status = os.fstat(fd)
        assert (status.st_nlink, stat.S_IMODE(status.st_mode)) == (0, 0o640)
        assert names_in(store.mountpoint) == names_in(store.directory) == []
        file.write(b"x" * MIB)
        os.fsync(fd)
        assert host_fallocate(fd, PUNCH, 0, BLOCK) == 0
        file.seek(0)
        assert file.read() == bytes(BLOCK) + b"x" * (MIB - BLOCK)
    [punch] = [event for event in store.events() if event.operation == "punch"]
    [release] = store.releases(1)
    assert punch.file == release.file == f"#{status.st_ino}"
    assert release.freed == (MIB if host.kind == "btrfs" else MIB - BLOCK)
    assert names_in(store.directory) == []


@on_each_kind
@without_uring
def test_a_file_without_a_name_may_get_one(host: HostFileSystem, fitting_store: Store) -> None:
    store = fitting_store
    inner = store.mountpoint / "inner"
    inner.mkdir()
    for _ in range(2):  # the second has the same name as a file that was removed
        with os.fdopen(os.open(inner, os.O_TMPFILE | os.O_RDWR, 0o600), "r+b", buffering=0) as file:
            file.write(b"y" * MIB)
            link(file.fileno(), inner, "named")
            assert os.fstat(file.fileno()).st_nlink == 1
            file.write(b"z" * BLOCK)
        assert store.host("inner/named").read_bytes() == b"y" * MIB + b"z" * BLOCK
        (inner / "named").unlink()
    assert {release.file for release in store.releases(2)} == {"inner/named"}
    fd = os.open(inner, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    with os.fdopen(fd, "r+b"), pytest.raises(FileNotFoundError):
        link(fd, inner, "never")
    assert names_in(store.host("inner")) == []


@on_each_kind
@without_uring
def test_copy_file_range_copies_what_it_is_asked_for(host: HostFileSystem, fitting_store: Store) -> None:
    """The server has the host copy, which shares the space where the host can: copy_file_range(2)."""
    store = fitting_store
    content = os.urandom(MIB) + bytes(MIB) + os.urandom(MIB // 2 + 17)
    store.file("source").write_bytes(content)
    with store.file("source").open("rb") as source, store.file("target").open("w+b") as target:
        done = 0
        while more := os.copy_file_range(source.fileno(), target.fileno(), 4 * MIB, done, done):
            done += more
        assert done == len(content)
        assert store.file("target").read_bytes() == content
        # Within one file, and over a hole.
        copied = os.copy_file_range(target.fileno(), target.fileno(), BLOCK + 1, 100, 2 * MIB + 3)
        assert copied == BLOCK + 1
        with pytest.raises(OSError, match="Invalid argument"):  # the ranges overlap
            os.copy_file_range(target.fileno(), target.fileno(), 8 * BLOCK, 0, BLOCK)
    wanted = bytearray(content)
    wanted[2 * MIB + 3 : 2 * MIB + BLOCK + 4] = content[100 : BLOCK + 101]
    assert store.host("target").read_bytes() == bytes(wanted)
    assert store.file("source").read_bytes() == content
    assert store.totals().events == 0
    asked = trio.run(StoreClient(store.control).latencies).operations
    assert asked.keys() & {"copy_file_range", "copy_file_range_64"}


@on_each_kind
@without_uring
def test_a_clone_is_refused_and_cp_copies_instead(host: HostFileSystem, fitting_store: Store) -> None:
    """FUSE has no request for a clone: fs/fuse/file.c has no remap_file_range."""
    store = fitting_store
    content = os.urandom(4 * MIB)
    store.file("source").write_bytes(content)
    with store.host("source").open("rb") as source, (host.directory / "on-host").open("wb") as target:
        refused = failure(fcntl.ioctl, target.fileno(), FICLONE, source.fileno())
        assert (refused == 0) == (host.kind in CLONING)
    (host.directory / "on-host").unlink()
    with store.file("source").open("rb") as source, store.file("target").open("wb") as target:
        assert failure(fcntl.ioctl, target.fileno(), FICLONE, source.fileno()) == errno.EOPNOTSUPP
    always = subprocess.run(
        ["cp", "--reflink=always", store.file("source"), store.file("target")],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert "Operation not supported" in always.stderr
    subprocess.run(["cp", store.file("source"), store.file("target")], check=True, timeout=DEADLINE)
    shutil.copyfile(store.file("source"), store.file("again"))
    assert store.host("target").read_bytes() == store.host("again").read_bytes() == content
    with store.file("target").open("r+b") as file:
        os.fsync(file.fileno())
        assert host_fallocate(file.fileno(), PUNCH, 0, 4 * MIB) == 0
    freed = [event.freed for event in store.events() if event.operation == "punch"]
    # cp asks for a copy, and the host may share the space: a punch of one copy then frees nothing.
    assert freed == [0 if host.kind in CLONING else 4 * MIB]
    assert Path(store.file("source")).read_bytes() == content
