"""A store on a read-only host refuses changes and reads on; a mount there is refused with the fix."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from fuse_backing import mounts
from tests.fuse_backing.backing_store import DEADLINE, failure, host_fallocate, names_in, run_command
from tests.fuse_backing.hosts import PUNCH, MakeStore, on
from tests.host_file_systems import MIB, HostFileSystem

pytestmark = pytest.mark.rig

BLOCK = 4096
FAILED = {errno.EIO, errno.EROFS}
without_uring = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)


def remount(host: HostFileSystem, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", host.root], check=True, timeout=DEADLINE)


@on("ext4", of=("xfs with reflink", "btrfs"))
@without_uring
def test_a_host_that_becomes_read_only_refuses_changes_and_reads_on(
    host: HostFileSystem, make_store: MakeStore
) -> None:
    (host.directory / "served").mkdir()
    store = make_store(directory=host.directory / "served")
    try:
        store.file("d").mkdir()
        store.file("d/a").write_bytes(b"a" * MIB)
        store.file("d/link").symlink_to("a")
        remount(host, "ro")
        try:
            for change in (
                lambda: store.file("d/b").touch(),
                lambda: store.file("e").mkdir(),
                lambda: store.file("d/a").open("r+b"),
                lambda: store.file("d/a").unlink(),
                lambda: store.file("d/a").rename(store.file("d/b")),
                lambda: store.file("d/a").chmod(0o600),
                lambda: os.truncate(store.file("d/a"), 0),
                lambda: os.setxattr(store.file("d/a"), "user.a", b""),
                lambda: store.file("d/other").symlink_to("a"),
                lambda: store.file("d/other").hardlink_to(store.file("d/a")),
            ):
                with pytest.raises(OSError, match="Read-only file system"):
                    change()
            assert store.file("d/link").read_bytes() == b"a" * MIB
            assert names_in(store.file("d")) == ["a", "link"]
        finally:
            remount(host, "rw")
        with store.file("d/a").open("r+b") as file:
            assert host_fallocate(file.fileno(), PUNCH, 0, MIB) == 0
        assert store.totals().errors == 0
    finally:
        store.tear_down()
    assert store.server.returncode == 0
    assert store.errors.read_bytes() == b""


@on("ext4")
@without_uring
def test_a_host_that_makes_itself_read_only_after_an_error_keeps_the_store_readable(
    host: HostFileSystem, make_store: MakeStore
) -> None:
    """ext4 with errors=remount-ro does so, even while files are open for writing."""
    remount(host, "errors=remount-ro")
    store = make_store(directory=host.directory)
    try:
        with store.file("a").open("w+b", buffering=0) as file:
            file.write(b"a" * MIB)
            os.fsync(file.fileno())
            device = Path(next(mount.source for mount in mounts.mounts() if mount.mountpoint == host.root))
            (Path("/sys/fs/ext4") / device.name / "trigger_fs_error").write_text("1")
            assert failure(lambda: os.pwrite(file.fileno(), b"b", 4 * MIB)) in FAILED
            assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) in FAILED
            assert failure(lambda: store.file("b").touch()) == errno.EROFS
            assert file.read(0) == b""
            assert os.pread(file.fileno(), MIB, 0) == b"a" * MIB
        [event] = store.events()
        assert (event.freed, event.errno in FAILED) == (0, True)
    finally:
        store.tear_down()
    assert store.server.returncode == 0


@on("ext4")
def test_a_read_only_host_is_refused_with_the_fix(host: HostFileSystem, tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    remount(host, "ro")
    result = run_command("mount", host.directory, tmp_path / "mnt", check=False)
    remount(host, "rw")
    assert result.returncode == 1
    assert result.stderr == (
        f"Error: {host.directory}: cannot create a file there: Read-only file system; if it has made itself "
        "read-only after an error, dmesg has the reason; else: mount -o remount,rw\n"
    )
    assert mounts.mount_on(tmp_path / "mnt") is None
