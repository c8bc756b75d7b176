"""A store serves a tree with files of every kind; the ledger has their paths, and no path leads out."""

import ctypes
import errno
import fcntl
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from fuse_backing.errors import ControlError
from fuse_backing.faults import Operation
from fuse_backing.store_client import StoreClient
from fuse_backing.system_calls import renameat2
from tests.fuse_backing.backing_store import DEADLINE, Store, discard, host_fallocate, names_in, run_command

rig = pytest.mark.rig
without_uring = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)
served_by_server = pytest.mark.parametrize("data_served_by", ["server"], indirect=True)

BLOCK = 4096
MIB = 1 << 20
CAP_FSETID = 4
PUNCH = 3
EXCHANGE = 2
LONGEST = "x" * 255

Attach = Callable[[Path], Path]


def punch(file: int, offset: int = 0) -> None:
    assert host_fallocate(file, PUNCH, offset, BLOCK) == 0


@rig
def test_files_of_every_kind_are_served(store: Store) -> None:
    store.file("d").mkdir()
    store.file("d/file").write_bytes(b"x")
    store.file("d/link").symlink_to("file")
    store.file("d/hard").hardlink_to(store.file("d/file"))
    os.mkfifo(store.file("d/fifo"))
    os.mknod(store.file("d/device"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert (
        names_in(store.file("d")) == names_in(store.host("d")) == ["device", "fifo", "file", "hard", "link"]
    )
    assert store.file("d/link").read_bytes() == b"x"
    assert store.file("d/hard").stat().st_ino == store.file("d/file").stat().st_ino
    assert store.file("d/file").stat().st_nlink == 2
    assert store.file("d/device").stat().st_rdev == store.host("d/device").stat().st_rdev
    shutil.rmtree(store.file("d"))
    assert names_in(store.directory) == []


@rig
def test_punches_are_recorded_under_the_path_at_their_time(store: Store) -> None:
    store.file("images").mkdir()
    with store.file("images/a").open("w+b", buffering=0) as file:
        file.write(b"x" * 8 * BLOCK)
        punch(file.fileno())
        store.file("images/a").rename(store.file("images/b"))
        punch(file.fileno(), BLOCK)
        store.file("images").rename(store.file("kept"))
        punch(file.fileno(), 2 * BLOCK)
        store.file("other").mkdir()
        store.file("kept").rename(store.file("other/kept"))
        punch(file.fileno(), 3 * BLOCK)
        store.file("other/kept/b").unlink()
        punch(file.fileno(), 4 * BLOCK)
    paths = ["images/a", "images/b", "kept/b", "other/kept/b", "other/kept/b"]
    punches = [event for event in store.events() if event.operation is Operation.PUNCH]
    assert [event.file for event in punches] == paths
    assert all(event.freed == BLOCK for event in punches)
    assert [(event.file, event.freed) for event in store.releases(1)] == [("other/kept/b", 3 * BLOCK)]


@rig
def test_exchanged_directories_exchange_the_paths_of_their_open_files(store: Store) -> None:
    for name in ("a", "b"):
        store.file(name).mkdir()
        store.file(f"{name}/{name}").write_bytes(b"x" * BLOCK)
    with store.file("a/a").open("r+b") as first, store.file("b/b").open("r+b") as second:
        renameat2(-100, os.fsencode(store.file("a")), -100, os.fsencode(store.file("b")), EXCHANGE)
        punch(first.fileno())
        punch(second.fileno())
    assert [event.file for event in store.events()] == ["b/a", "a/b"]


@rig
def test_hard_links_are_one_file_and_its_path_is_the_last_used_one(store: Store) -> None:
    store.file("d").mkdir()
    store.file("a").write_bytes(b"x" * 4 * BLOCK)
    store.file("d/b").hardlink_to(store.file("a"))
    with (
        store.file("a").open("r+b", buffering=0) as first,
        store.file("d/b").open("r+b", buffering=0) as second,
    ):
        os.pwrite(first.fileno(), b"y", 0)
        assert os.pread(second.fileno(), 1, 0) == b"y"
        punch(first.fileno())
        store.file("d/b").unlink()
        punch(first.fileno(), BLOCK)
    assert [event.file for event in store.events()] == ["d/b", "a"]
    assert store.file("a").stat().st_nlink == 1


@rig
def test_discards_of_a_loop_device_count_under_the_path_of_its_file(store: Store, attach: Attach) -> None:
    store.file("vm").mkdir()
    store.file("vm/disk").write_bytes(b"x" * MIB)
    device = attach(store.file("vm/disk"))
    discard(device, 0, 4 * BLOCK)
    store.file("vm").rename(store.file("old"))
    discard(device, 8 * BLOCK, 4 * BLOCK)
    assert [event.file for event in store.events()] == ["vm/disk", "old/disk"]
    assert store.totals().freed == 8 * BLOCK


@rig
@without_uring
def test_totals_by_directory_and_patterns_of_paths(store: Store, tmp_path: Path) -> None:
    store.file("images/old").mkdir(parents=True)
    for number, name in enumerate(("images/a.img", "images/b.raw", "images/old/c.img", "plain"), 1):
        with store.file(name).open("w+b", buffering=0) as file:
            file.write(b"x" * 8 * BLOCK)
            for block in range(number):
                punch(file.fileno(), block * BLOCK)
    control = ("--control", store.control)
    found = json.loads(run_command("stats", "--by-directory", "--json", *control).stdout)
    freed = {path: totals["freed"] // BLOCK for path, totals in found["directories"].items()}
    assert freed == {".": 10, "images": 6, "images/old": 3}
    table = run_command("stats", "--by-directory", *control).stdout.splitlines()
    assert [line.split()[0] for line in table] == ["directory", ".", "images", "images/old", "all"]
    found = json.loads(run_command("stats", "--file", "images/*.img", "--json", *control).stdout)
    assert sorted(found["files"]) == ["images/a.img", "images/old/c.img"]
    assert found["totals"]["freed"] == 4 * BLOCK
    lines = run_command("events", "--file", "images/b.raw", *control).stdout.splitlines()
    assert len(lines) == 2
    found = json.loads(run_command("histogram", "--file", "images/*", "--json", *control).stdout)
    assert sum(bucket["freed"] for bucket in found["buckets"]) == 6 * BLOCK
    lost = run_command("histogram", "--file", "none/*", *control, check=False)
    assert "the store has no file 'none/*'" in lost.stderr
    shown = json.loads(run_command("map", store.file("images/a.img"), "--json", *control).stdout)
    assert (shown["size"], shown["allocated"]) == (8 * BLOCK, 7 * BLOCK)


@rig
@without_uring
def test_faults_strike_the_files_that_a_pattern_of_paths_matches(store: Store) -> None:
    store.file("images").mkdir()
    for name in ("images/a.qcow2", "images/a.raw", "a.qcow2"):
        store.file(name).write_bytes(b"x" * BLOCK)
    store.set_faults(
        {"operation": "punch", "file": "images/*.qcow2", "action": "error", "errno": "EIO", "times": "always"}
    )
    struck = {}
    for name in ("images/a.qcow2", "images/a.raw", "a.qcow2"):
        with store.file(name).open("r+b") as file:
            struck[name] = host_fallocate(file.fileno(), PUNCH, 0, BLOCK)
    assert struck == {"images/a.qcow2": errno.EIO, "images/a.raw": 0, "a.qcow2": 0}


@rig
@without_uring
def test_no_path_on_the_control_socket_leads_out_of_the_tree(store: Store) -> None:
    (store.directory.parent / "secret").write_bytes(b"s")
    store.host("d").mkdir()
    store.host("d/up").symlink_to("../..")
    store.host("d/absolute").symlink_to(store.directory.parent)
    store.host("d/a").write_bytes(b"x")

    async def refused(path: str) -> int | None:
        with pytest.raises(ControlError) as raised:
            await StoreClient(store.control).map(path)
        return raised.value.errno

    for path in (
        "d/../../secret",
        "../secret",
        "d/up/secret",
        "d/absolute/secret",
        "d//a",
        "/d/a",
        "d/./a",
        "d",
    ):
        assert trio.run(refused, path) in (errno.EINVAL, errno.ENOENT, errno.ELOOP)
    assert trio.run(StoreClient(store.control).map, "d/a")[0] == 1
    assert store.errors.read_bytes() == b""


@rig
@without_uring
def test_a_directory_moved_out_on_the_host_while_it_is_used_leads_nowhere_else(
    store: Store, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"s")
    store.file("d/e").mkdir(parents=True)
    inside = os.open(store.file("d/e"), os.O_RDONLY)
    try:
        store.host("d").rename(outside / "d")
        store.host("d").symlink_to(outside)
        with pytest.raises(OSError, match=r"No such file|Stale"):
            os.stat("secret", dir_fd=inside)
        assert store.file("d").is_symlink()
    finally:
        os.close(inside)
    store.host("d").unlink()
    with pytest.raises(FileNotFoundError):
        store.file("d/e").stat()
    assert (outside / "secret").read_bytes() == b"s"


@rig
@without_uring
def test_another_file_system_in_the_tree_is_not_entered(store: Store) -> None:
    store.host("other").mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "thinsim-test", store.host("other")], check=True, timeout=DEADLINE
    )
    try:
        store.host("other/secret").write_bytes(b"s")
        for path in ("other", "other/secret"):
            with pytest.raises(OSError, match="cross-device"):
                store.file(path).stat()
        assert names_in(store.mountpoint) == []
    finally:
        subprocess.run(["umount", store.host("other")], check=True, timeout=DEADLINE)
    assert store.errors.read_text().count("other: another file system is mounted there") == 1
    assert store.file("other").is_dir()


@rig
@without_uring
def test_names_of_any_bytes_exist_at_every_depth(store: Store) -> None:
    directory = store.mountpoint
    names = [LONGEST, os.fsdecode(b"\xff" * 255), "line\nbreak", "é" * 127]
    for name in names:
        directory /= name
        directory.mkdir()
    with (directory / "file").open("w+b", buffering=0) as file:
        file.write(b"x" * BLOCK)
        punch(file.fileno())
    assert [event.file for event in store.events()] == ["/".join([*names, "file"])]
    with pytest.raises(OSError, match="too long"):
        (directory / ("x" * 256)).mkdir()


@rig
@without_uring
def test_positions_in_a_large_directory_stay_valid(store: Store) -> None:
    for number in range(3000):
        store.host(f"{number:05d}").touch()
    seen = []
    with os.scandir(store.mountpoint) as entries:
        for entry in entries:
            seen.append(entry.name)
            if len(seen) == 10:  # both changes may show or not
                store.file("02999").unlink()
                store.file("new").touch()
    assert set(seen) | {"02999", "new"} == {*(f"{number:05d}" for number in range(3000)), "new"}
    assert len(seen) == len(set(seen))


@rig
@without_uring
def test_locks_are_those_of_the_kernel(store: Store) -> None:
    store.file("a").touch()
    with store.file("a").open("r+b") as first, store.file("a").open("r+b") as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(first, fcntl.LOCK_UN)
        fcntl.lockf(first, fcntl.LOCK_EX, 10)
        child = os.fork()
        if child == 0:
            try:
                fcntl.lockf(second, fcntl.LOCK_EX | fcntl.LOCK_NB, 10)
            except BlockingIOError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@rig
@without_uring
def test_suid_and_sgid_are_cleared_by_a_change_of_the_owner(store: Store) -> None:
    store.file("a").write_bytes(b"x")
    store.file("a").chmod(0o6755)
    os.chown(store.file("a"), 7, 7)
    assert stat.S_IMODE(store.host("a").stat().st_mode) == 0o755
    os.mkfifo(store.file("fifo"))
    store.file("fifo").chmod(0o4755)
    os.chown(store.file("fifo"), -1, -1)
    assert stat.S_IMODE(store.host("fifo").stat().st_mode) == 0o755


def without_fsetid(action: Callable[[], object]) -> None:
    """Do the *action* in a child process of root that lacks CAP_FSETID."""
    child = os.fork()
    if child == 0:
        header = ctypes.create_string_buffer((0x20080522).to_bytes(4, "little") + bytes(4), 8)
        sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then again
        failed = ctypes.CDLL(None).capget(header, sets)
        sets[0] &= ~(1 << CAP_FSETID)
        failed |= ctypes.CDLL(None).capset(header, sets)
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(2 if failed else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@rig
@without_uring
@pytest.mark.parametrize("mode", [0o6755, 0o2644, 0o4600])
def test_a_write_without_the_capability_clears_suid_and_sgid_as_on_the_host(store: Store, mode: int) -> None:
    found = set()
    for place in (store.directory.parent / "plain", store.file("a")):
        place.write_bytes(b"x")
        with place.open("r+b", buffering=0) as file:
            os.fchmod(file.fileno(), mode)
            without_fsetid(partial(os.pwrite, file.fileno(), b"y", 0))
        found.add(stat.S_IMODE(place.stat().st_mode))
    assert found in ({0o755}, {0o2644}, {0o600})
    assert len(found) == 1


@rig
@without_uring
def test_writes_read_no_attribute_of_the_file_each_time(store: Store) -> None:
    """Without FUSE_HANDLE_KILLPRIV_V2 the kernel reads security.capability before each write and punch."""
    with store.file("a").open("w+b", buffering=0) as file:
        for _ in range(100):
            os.pwrite(file.fileno(), b"x" * BLOCK, 0)
            punch(file.fileno())
    found = trio.run(StoreClient(store.control).latencies)
    reads = found.operations["getxattr"].count if "getxattr" in found.operations else 0
    assert reads <= 3
