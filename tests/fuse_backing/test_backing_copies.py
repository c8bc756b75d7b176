"""Copies on a store have all bytes, and calls that FUSE lacks end as the kernel answers them."""

import errno
import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.fuse_backing.backing_store import DEADLINE, Store, host_fallocate, names_in
from tests.fuse_backing.hosts import PUNCH, on
from tests.host_file_systems import CLONING, MIB, HostFileSystem

pytestmark = pytest.mark.rig

BLOCK = 4096
FICLONE = 0x40049409
without_uring = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)
on_each_kind = on("ext4", "xfs with reflink", "btrfs", of=("tmpfs", "overlay on ext4"))


def failure(source: int, target: int) -> int:
    """Return the errno with which a clone of a whole file fails, 0 for success."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as error:
        return error.errno or 0
    return 0


@on_each_kind
@without_uring
def test_a_file_without_a_name_is_refused_and_the_usual_way_around_works(
    host: HostFileSystem, fitting_store: Store
) -> None:
    """FUSE_TMPFILE exists (fs/fuse/dir.c, fuse_tmpfile), but libfuse answers ENOSYS to it."""
    store = fitting_store
    os.close(os.open(host.directory, os.O_TMPFILE | os.O_RDWR, 0o600))
    for _ in range(2):  # the kernel asks once, and then knows
        with pytest.raises(OSError, match="not supported") as raised:
            os.open(store.mountpoint, os.O_TMPFILE | os.O_RDWR, 0o600)
        assert raised.value.errno == errno.EOPNOTSUPP
    assert names_in(store.directory) == []
    with tempfile.TemporaryFile(dir=store.mountpoint) as file:
        assert names_in(store.mountpoint) == []
        file.write(b"x" * MIB)
        os.fsync(file.fileno())
        assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == 0
        file.seek(0)
        assert file.read() == bytes(BLOCK) + b"x" * (MIB - BLOCK)
    [release] = store.releases(1)
    assert release.freed == (MIB if host.kind == "btrfs" else MIB - BLOCK)
    assert names_in(store.directory) == []


@on_each_kind
@without_uring
def test_copy_file_range_copies_what_it_is_asked_for(host: HostFileSystem, fitting_store: Store) -> None:
    """The kernel reads and writes: fs/fuse/file.c, fuse_copy_file_range, after ENOSYS of libfuse."""
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


@on_each_kind
@without_uring
def test_a_clone_is_refused_and_cp_copies_instead(host: HostFileSystem, fitting_store: Store) -> None:
    """FUSE has no request for a clone: fs/fuse/file.c has no remap_file_range."""
    store = fitting_store
    content = os.urandom(4 * MIB)
    store.file("source").write_bytes(content)
    with store.host("source").open("rb") as source, (host.directory / "on-host").open("wb") as target:
        refused = failure(source.fileno(), target.fileno())
        assert (refused == 0) == (host.kind in CLONING)
    (host.directory / "on-host").unlink()
    with store.file("source").open("rb") as source, store.file("target").open("wb") as target:
        assert failure(source.fileno(), target.fileno()) == errno.EOPNOTSUPP
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
    with store.file("target").open("r+b") as file:  # a copy shares nothing, so a punch of it frees everything
        os.fsync(file.fileno())
        assert host_fallocate(file.fileno(), PUNCH, 0, 4 * MIB) == 0
    freed = [event.freed for event in store.events() if event.operation == "punch"]
    assert freed == [4 * MIB]
    assert Path(store.file("source")).read_bytes() == content
