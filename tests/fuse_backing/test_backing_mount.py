"""These tests use a mounted store as users do: through the kernel, with a server process."""

import ctypes
import errno
import os
import platform
import random
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from fuse_backing import allocation, mounts
from fuse_backing.faults import Operation
from fuse_backing.system_calls import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    renameat2,
)
from tests.fuse_backing.backing_store import DEADLINE, Store, host_fallocate, names_in

pytestmark = pytest.mark.rig

BLOCK = 4096
MIB = 1 << 20
PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def test_the_mount_names_its_type_and_its_directory(store: Store) -> None:
    mount = mounts.find_mount(store.mountpoint)
    assert mount is not None
    assert (mount.fstype, mount.source) == ("fuse.fuse_backing", str(store.directory))


def test_written_data_is_readable_and_in_the_hosts_file_at_once(store: Store) -> None:
    data = noise(1, 3 * MIB + 17)
    with store.file("a").open("wb") as file:
        file.write(data)
        file.flush()
        assert store.host("a").read_bytes() == data
    assert store.file("a").read_bytes() == data


def test_writes_at_random_places_leave_what_a_model_has(store: Store) -> None:
    rng = random.Random(2)
    model = bytearray(MIB)
    with store.file("a").open("w+b", buffering=0) as file:
        file.truncate(MIB)
        for step in range(200):
            offset = rng.randrange(MIB)
            data = noise(step, min(rng.randrange(1, 70000), MIB - offset))
            assert os.pwrite(file.fileno(), data, offset) == len(data)
            model[offset : offset + len(data)] = data
        os.fsync(file.fileno())
        assert os.pread(file.fileno(), MIB + 1, 0) == model
    assert store.host("a").read_bytes() == model


def test_appending_writes_at_the_end(store: Store) -> None:
    for text in (b"one", b"two"):
        with store.file("a").open("ab") as file:
            file.write(text)
    assert store.host("a").read_bytes() == b"onetwo"


def test_a_file_can_be_shortened_and_extended(store: Store) -> None:
    store.file("a").write_bytes(noise(3, 100_000))
    os.truncate(store.file("a"), 50_000)
    os.truncate(store.file("a"), 60_000)
    assert store.file("a").read_bytes() == noise(3, 100_000)[:50_000] + bytes(10_000)
    with store.file("a").open("wb"):
        pass
    assert store.file("a").stat().st_size == 0


def test_the_mode_and_times_of_a_new_file_are_the_callers(store: Store) -> None:
    before = os.umask(0o027)
    try:
        os.close(os.open(store.file("a"), os.O_CREAT | os.O_WRONLY, 0o666))
    finally:
        os.umask(before)
    store.file("a").chmod(0o4750)
    os.utime(store.file("a"), ns=(1_000_000_001, 2_000_000_002))
    os.chown(store.file("a"), 12, 34)
    status = store.host("a").stat()
    assert (status.st_uid, status.st_gid) == (12, 34)
    assert (status.st_atime_ns, status.st_mtime_ns) == (1_000_000_001, 2_000_000_002)
    assert stat.S_IMODE(status.st_mode) & 0o777 == 0o750


def test_allocation_is_true_at_each_look(store: Store) -> None:
    with store.file("a").open("w+b", buffering=0) as file:
        file.truncate(MIB)
        assert store.file("a").stat().st_blocks == 0
        os.pwrite(file.fileno(), b"x" * 16 * BLOCK, 0)
        assert store.file("a").stat().st_blocks * 512 == 16 * BLOCK == store.host("a").stat().st_blocks * 512
        assert host_fallocate(file.fileno(), PUNCH, 0, 8 * BLOCK) == 0
        assert store.file("a").stat().st_blocks * 512 == 8 * BLOCK


def test_a_punch_reads_as_zeroes_frees_and_is_in_the_ledger(store: Store) -> None:
    data = noise(4, 4 * MIB)
    store.file("a").write_bytes(data)
    with store.file("a").open("r+b", buffering=0) as file:
        assert host_fallocate(file.fileno(), PUNCH, MIB, 2 * MIB) == 0
        assert os.pread(file.fileno(), 4 * MIB, 0) == data[:MIB] + bytes(2 * MIB) + data[3 * MIB :]
    assert store.host("a").read_bytes() == data[:MIB] + bytes(2 * MIB) + data[3 * MIB :]
    [event] = store.events()
    assert (event.file, event.operation, event.mode, event.offset, event.length) == (
        "a",
        "punch",
        3,
        MIB,
        2 * MIB,
    )
    assert (event.allocated, event.freed, event.errno) == (2 * MIB, 2 * MIB, 0)
    totals = store.totals()
    assert (totals.events, totals.punched_bytes, totals.freed) == (1, 2 * MIB, 2 * MIB)


@pytest.mark.extents
def test_a_zero_range_reads_as_zeroes_and_keeps_the_allocation(store: Store) -> None:
    store.file("a").write_bytes(noise(5, MIB))
    before = store.host("a").stat().st_blocks
    with store.file("a").open("r+b", buffering=0) as file:
        assert host_fallocate(file.fileno(), FALLOC_FL_ZERO_RANGE, 0, MIB) == 0
    assert store.file("a").read_bytes() == bytes(MIB)
    with store.host("a").open("rb") as file:
        assert allocation.allocated_bytes(file.fileno(), 0, MIB) == MIB
    assert store.host("a").stat().st_blocks >= before
    [event] = store.events()
    assert (event.operation, event.allocated, event.freed) == ("zero", MIB, 0)


def test_a_preallocation_is_passed_down_and_is_no_event(store: Store) -> None:
    with store.file("a").open("w+b", buffering=0) as file:
        assert host_fallocate(file.fileno(), 0, 0, MIB) == 0
        assert host_fallocate(file.fileno(), FALLOC_FL_KEEP_SIZE, MIB, MIB) == 0
    assert store.file("a").stat().st_size == MIB
    assert store.host("a").stat().st_blocks * 512 == 2 * MIB
    assert store.events() == []


def test_a_mode_that_fuse_does_not_know_is_refused_and_later_punches_work(store: Store) -> None:
    store.file("a").write_bytes(noise(6, MIB))
    with store.file("a").open("r+b", buffering=0) as file:
        for mode in (0x08, 0x20, 0x40, 0x80):  # collapse, insert, unshare, write zeroes
            assert host_fallocate(file.fileno(), mode, 0, BLOCK) == errno.EOPNOTSUPP
        assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == 0
    assert store.totals().freed == BLOCK


def test_a_punch_through_a_descriptor_for_reading_is_refused(store: Store) -> None:
    store.file("a").write_bytes(b"x" * BLOCK)
    with store.file("a").open("rb") as file:
        assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == errno.EBADF
    assert store.file("a").read_bytes() == b"x" * BLOCK


def test_punches_from_many_threads_add_up(store: Store) -> None:
    store.file("a").write_bytes(noise(7, 8 * MIB))
    with store.file("a").open("r+b", buffering=0) as file:
        results: list[int] = []

        def punch(first: int) -> None:
            for block in range(first, 8 * MIB // BLOCK, 4):
                results.append(host_fallocate(file.fileno(), PUNCH, block * BLOCK, BLOCK))

        threads = [threading.Thread(target=punch, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
    assert set(results) == {0}
    assert store.totals().freed == 8 * MIB
    with store.host("a").open("rb") as host:
        assert allocation.allocated_bytes(host.fileno(), 0, 8 * MIB) == 0


def test_data_and_holes_are_found(store: Store) -> None:
    with store.file("a").open("w+b", buffering=0) as file:
        file.truncate(MIB)
        os.pwrite(file.fileno(), b"x" * BLOCK, 64 * BLOCK)
        assert os.lseek(file.fileno(), 0, os.SEEK_DATA) == 64 * BLOCK
        assert os.lseek(file.fileno(), 64 * BLOCK, os.SEEK_HOLE) == 65 * BLOCK
        with pytest.raises(OSError, match="No such device or address") as raised:
            os.lseek(file.fileno(), 65 * BLOCK, os.SEEK_DATA)
        assert raised.value.errno == errno.ENXIO
        assert os.lseek(file.fileno(), 0, os.SEEK_END) == MIB


def test_the_free_space_is_the_hosts(store: Store) -> None:
    ours, host = os.statvfs(store.mountpoint), os.statvfs(store.directory)
    assert (ours.f_bsize, ours.f_blocks, ours.f_namemax) == (host.f_bsize, host.f_blocks, host.f_namemax)


def test_a_directory_is_listed_whatever_its_size(store: Store) -> None:
    names = {f"file-with-a-long-name-{number:04d}" for number in range(700)}
    for name in names:
        store.host(name).touch()
    assert set(names_in(store.mountpoint)) == names


def test_a_whiteout_is_refused(store: Store) -> None:
    store.file("a").touch()
    directory = os.open(store.mountpoint, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            renameat2(directory, b"a", directory, b"b", 4)
    finally:
        os.close(directory)
    assert names_in(store.directory) == ["a"]


def test_a_name_that_is_not_utf8_is_served_and_recorded(store: Store) -> None:
    name = os.fsdecode(b"\xff\xfe name")
    store.file(name).write_bytes(b"x" * BLOCK)
    with store.file(name).open("r+b") as file:
        assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == 0
    assert [event.file for event in store.events()] == [name]
    assert store.host(name).stat().st_blocks == 0


def test_an_unlinked_file_lives_on_while_it_is_open(store: Store) -> None:
    with store.file("a").open("w+b", buffering=0) as file:
        os.pwrite(file.fileno(), b"x" * 2 * BLOCK, 0)
        store.file("a").unlink()
        assert names_in(store.directory) == []
        store.file("a").write_bytes(b"another")
        assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == 0
        assert os.pread(file.fileno(), 3 * BLOCK, 0) == bytes(BLOCK) + b"x" * BLOCK
        assert os.fstat(file.fileno()).st_nlink == 0
    assert store.file("a").read_bytes() == b"another"


def test_a_file_renamed_over_another_takes_its_place_in_the_ledger(store: Store) -> None:
    store.file("a").write_bytes(b"a" * BLOCK)
    store.file("b").write_bytes(b"b" * BLOCK)
    with store.file("a").open("r+b", buffering=0) as renamed, store.file("b").open("rb") as replaced:
        store.file("a").rename(store.file("b"))
        assert store.file("b").read_bytes() == b"a" * BLOCK
        assert replaced.read() == b"b" * BLOCK
        assert host_fallocate(renamed.fileno(), PUNCH, 0, BLOCK) == 0
    found = [(event.operation, event.file) for event in store.releases(1) + store.events()[:1]]
    assert sorted(found) == [(Operation.PUNCH, "b"), (Operation.RELEASE, "b")]
    assert names_in(store.mountpoint) == ["b"]


def test_rename_knows_the_kernels_flags(store: Store) -> None:
    store.file("a").write_bytes(b"a")
    store.file("b").write_bytes(b"b")
    directory = os.open(store.mountpoint, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            renameat2(directory, b"a", directory, b"b", 1)
        renameat2(directory, b"a", directory, b"b", 2)
    finally:
        os.close(directory)
    assert (store.file("a").read_bytes(), store.file("b").read_bytes()) == (b"b", b"a")


def test_a_caller_killed_in_the_middle_does_not_stop_the_server(store: Store) -> None:
    store.file("a").write_bytes(b"x" * MIB)
    for _ in range(30):
        child = os.fork()
        if child == 0:
            while True:
                store.file("a").stat()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert store.file("a").read_bytes() == b"x" * MIB


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts_cleanly(store: Store, number: int) -> None:
    store.file("a").write_bytes(b"x")
    store.server.send_signal(number)
    assert store.server.wait(DEADLINE) == 0
    assert mounts.mount_on(store.mountpoint) is None
    assert store.errors.read_bytes() == b""
    assert not store.control.exists()
    assert store.host("a").read_bytes() == b"x"


def test_unmounting_from_outside_ends_the_server(store: Store) -> None:
    mounts.unmount(store.mountpoint)
    assert store.server.wait(DEADLINE) == 0
    assert not store.control.exists()


def test_an_open_file_does_not_hold_up_the_end(store: Store) -> None:
    fd = os.open(store.file("a"), os.O_CREAT | os.O_WRONLY)
    try:
        store.server.terminate()
        assert store.server.wait(DEADLINE) == 0
        assert mounts.mount_on(store.mountpoint) is None
        if store.passthrough == "on":
            os.write(fd, b"x")  # the kernel still has the backing file
            assert (store.directory / "a").read_bytes() == b"x"
        else:
            with pytest.raises(OSError, match="not connected"):
                os.write(fd, b"x")
    finally:
        os.close(fd)
    assert "still in use" in store.errors.read_text()


def test_the_control_socket_is_for_its_owner_alone(store: Store) -> None:
    assert stat.S_IMODE(store.control.stat().st_mode) == 0o600


def test_sigusr1_shows_what_the_server_is_doing(store: Store, tmp_path: Path) -> None:
    store.server.send_signal(signal.SIGUSR1)
    assert store.file("missing").exists() is False
    store.server.terminate()
    assert store.server.wait(DEADLINE) == 0
    assert "most recent call first" in store.errors.read_text()


def slice_of(thread: int) -> int:
    """Return the time slice that a thread has requested, in nanoseconds; 0 if the kernel has none."""
    sched_getattr = {"x86_64": 315, "aarch64": 275}.get(platform.machine())
    if sched_getattr is None:
        pytest.skip(f"the number of sched_getattr(2) on {platform.machine()} is not known here")
    attributes = ctypes.create_string_buffer(56)
    assert ctypes.CDLL(None).syscall(sched_getattr, thread, attributes, len(attributes), 0) == 0
    return int.from_bytes(attributes.raw[24:32], sys.byteorder)


def test_the_threads_of_the_server_that_receive_requests_ask_for_short_slices(store: Store) -> None:
    usual = slice_of(threading.get_native_id())
    if usual == 0:
        pytest.skip("needs Linux 6.12 or later, where a thread can ask for a time slice")
    # io_uring has a thread per processor, and three threads read the device.
    receiving = 3 + (os.sysconf("SC_NPROCESSORS_CONF") if "--fuse-uring" in store.options else 0)
    deadline = time.monotonic() + DEADLINE
    while True:  # a thread that has just begun has not asked yet
        slices = [slice_of(int(thread.name)) for thread in Path(f"/proc/{store.server.pid}/task").iterdir()]
        if slices.count(100_000) == receiving or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    assert slices.count(100_000) == receiving < len(slices)
