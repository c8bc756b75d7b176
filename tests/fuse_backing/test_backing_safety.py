"""A store never deadlocks in writeback, grows without bound or loses data silently."""

import errno
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio

from fuse_backing import mounts
from fuse_backing.store_client import StoreClient
from fuse_backing.system_calls import umount2
from tests.fuse_backing.backing_store import (
    DEADLINE,
    Store,
    discard,
    host_fallocate,
    names_in,
    run_command,
)

BLOCK = 4096
MIB = 1 << 20
PUNCH = 3
WRITEBACK_FLAGS = 0x00080000 | 0x00100000
"""PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE, which PR_SET_IO_FLUSHER sets: include/linux/sched.h."""
CAP_SYS_RESOURCE = 24
MNT_FORCE = 1

Attach = Callable[[Path], Path]

rig = pytest.mark.rig
served_by_server = pytest.mark.parametrize("data_served_by", ["server"], indirect=True)
served_by_kernel = pytest.mark.parametrize("data_served_by", ["kernel"], indirect=True)


@rig
def test_no_thread_of_the_server_can_wait_for_its_own_writeback(store: Store) -> None:
    with store.file("a").open("w+b") as file:  # a long punch and a sync start further threads
        file.write(b"x" * 32 * MIB)
        os.fsync(file.fileno())
        assert host_fallocate(file.fileno(), PUNCH, 0, 32 * MIB) == 0
    status = Path(f"/proc/{store.server.pid}/status").read_text()
    capabilities = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    assert capabilities is not None
    allowed = bool(int(capabilities[1], 16) >> CAP_SYS_RESOURCE & 1)
    assert trio.run(StoreClient(store.control).ping).io_flusher is allowed
    threads = list(Path(f"/proc/{store.server.pid}/task").iterdir())
    assert len(threads) >= 3  # the event loop, the channel, a worker
    for thread in threads:
        flags = int((thread / "stat").read_text().rpartition(")")[2].split()[6])
        assert flags & WRITEBACK_FLAGS == (WRITEBACK_FLAGS if allowed else 0)


@rig
def test_a_full_host_is_an_error_to_the_writer_and_a_punch_makes_room(
    small_directory: Path, make_store: Callable[..., Store]
) -> None:
    store = make_store(directory=small_directory)
    with store.file("a").open("w+b", buffering=0) as file:
        assert os.pwrite(file.fileno(), b"x" * 8 * MIB, 0) == 8 * MIB
        with pytest.raises(OSError, match="No space left"):
            os.pwrite(file.fileno(), b"x", 8 * MIB)
        with pytest.raises(OSError, match="No space left"):
            store.file("b").write_bytes(b"x" * MIB)
        assert host_fallocate(file.fileno(), PUNCH, 0, 4 * MIB) == 0
        store.file("b").write_bytes(b"y" * MIB)
    assert store.file("b").read_bytes() == b"y" * MIB
    assert store.totals().freed == 4 * MIB


@rig
@served_by_server
def test_a_loop_device_on_a_full_host_loses_no_write_in_silence(
    small_directory: Path, make_store: Callable[..., Store], attach: Attach
) -> None:
    """The host gets full in the middle of a request; if the server serves the data, that is an error."""
    store = make_store(directory=small_directory)
    with store.file("disk").open("wb") as file:
        file.truncate(64 * MIB)
    device = attach(store.file("disk"))
    odd = 37 * BLOCK
    written = {}
    with device.open("r+b", buffering=0) as block:
        os.pwrite(block.fileno(), b"z" * odd, 50 * MIB)
        os.fsync(block.fileno())
        for at in range(10):
            os.pwrite(block.fileno(), b"y" * MIB, at * MIB)
            with suppress(OSError):
                os.fsync(block.fileno())
                written[at] = b"y" * MIB
    assert 0 < len(written) < 8
    with store.host("disk").open("rb") as host:
        for at, data in written.items():
            assert os.pread(host.fileno(), MIB, at * MIB) == data


@rig
def test_a_directory_removed_underneath_leaves_open_files_and_a_clean_end(store: Store) -> None:
    store.file("a").write_bytes(b"x" * 2 * BLOCK)
    with store.file("a").open("r+b", buffering=0) as file:
        store.host("a").unlink()
        store.directory.rmdir()
        assert names_in(store.mountpoint) == []
        for operation in (store.file("b").touch, store.file("a").stat, store.file("a").unlink):
            with pytest.raises(FileNotFoundError):
                operation()
        os.pwrite(file.fileno(), b"y", BLOCK)
        assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == 0
        assert os.pread(file.fileno(), 2 * BLOCK, 0) == bytes(BLOCK) + b"y" + b"x" * (BLOCK - 1)
    assert store.totals().freed == BLOCK
    store.server.terminate()
    assert store.server.wait(DEADLINE) == 0
    assert store.errors.read_bytes() == b""


@rig
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"action": "error", "errno": "EOPNOTSUPP"}, "the host file system cannot punch holes"),
        ({"action": "error", "errno": "EIO"}, "the host refuses to punch holes: Input/output error"),
        ({"action": "lie"}, "the host accepts a hole punch but frees nothing"),
    ],
    ids=["unsupported", "refused", "lie"],
)
def test_a_host_without_hole_punching_is_refused_with_the_reason(
    store: Store, tmp_path: Path, fault: dict[str, object], reason: str
) -> None:
    """The host file system is another store, with a fault in its punches."""
    place = tmp_path / "mnt"
    place.mkdir()
    store.set_faults({"operation": "punch", "times": "always", **fault})
    result = run_command("mount", store.mountpoint, place, check=False)
    assert result.returncode == 1
    assert result.stderr == f"Error: {store.mountpoint}: {reason}" + (
        "; use a directory on ext4, xfs, btrfs or tmpfs\n" if "cannot" in reason else "\n"
    )
    assert mounts.mount_on(place) is None
    assert names_in(store.directory) == []


@rig
@served_by_kernel
def test_impossible_passthrough_is_refused_with_on_and_skipped_with_auto(
    store: Store, tmp_path: Path
) -> None:
    """The host is another store: the kernel does not stack passthrough on passthrough."""
    place, control = tmp_path / "mnt", tmp_path / "control"
    place.mkdir()
    arguments = ("mount", store.mountpoint, place, "--control", control, "--passthrough")
    result = run_command(*arguments, "on", check=False)
    reason = "the host's file system is stacked too deeply"
    assert result.stderr == f"Error: passthrough is not possible here: {reason}\n"
    assert result.returncode == 1
    assert mounts.mount_on(place) is None
    run_command(*arguments, "auto")
    try:
        info = trio.run(StoreClient(control).ping)
        assert (info.passthrough, info.passthrough_reason) == (False, reason)
        (place / "a").write_bytes(b"x" * 2 * BLOCK)
        before = store.totals().freed
        with (place / "a").open("r+b") as file:
            assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == 0
        assert store.host("a").read_bytes() == bytes(BLOCK) + b"x" * BLOCK
        assert trio.run(StoreClient(control).totals).freed == BLOCK == store.totals().freed - before
    finally:
        run_command("unmount", place, "--control", control)


@rig
@served_by_server
def test_loop_users_of_a_killed_server_get_errors_and_a_new_mount_has_the_data(
    store: Store, attach: Attach
) -> None:
    store.file("disk").write_bytes(b"x" * MIB)
    device = attach(store.file("disk"))
    store.server.kill()
    store.server.wait()
    fd = os.open(device, os.O_RDWR)
    try:
        with pytest.raises(OSError, match="Input/output error"):
            os.pread(fd, BLOCK, 0)
        os.pwrite(fd, b"y" * BLOCK, 0)  # into the page cache
        with pytest.raises(OSError, match="Input/output error"):
            os.fsync(fd)
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="Input/output error"):
        discard(device, 0, BLOCK)
    assert (
        "its server had died" in run_command("unmount", store.mountpoint, "--control", store.control).stdout
    )
    store.start()
    again = attach(store.file("disk"))
    assert again.read_bytes() == b"x" * MIB
    discard(again, 0, MIB)
    assert store.totals().freed == MIB


@rig
def test_a_connection_cut_in_the_middle_of_requests_ends_the_server_and_leaves_no_mount(
    store: Store, attach: Attach
) -> None:
    store.file("disk").write_bytes(b"x" * MIB)
    attach(store.file("disk"))
    child = os.fork()
    if child == 0:
        fd = os.open(store.file("disk"), os.O_RDWR)
        while host_fallocate(fd, PUNCH, 0, BLOCK) == 0:
            pass
        os._exit(0)
    while store.totals().events < 100:
        assert store.server.poll() is None
    # EBUSY: the connection is cut, but the mount exists (fs/fuse/inode.c, fuse_umount_begin)
    with suppress(OSError):
        umount2(store.mountpoint, MNT_FORCE)
    assert store.server.wait(DEADLINE) == 0
    assert os.waitpid(child, 0)[1] == 0
    assert mounts.mount_on(store.mountpoint) is None
    assert not store.control.exists()


@contextmanager
def subscription(store: Store) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(store.control))
        client.sendall(b'{"command": "events", "arguments": {"follow": true}}\n')
        yield client


@rig
def test_a_subscriber_that_never_reads_or_has_died_holds_up_nothing(store: Store) -> None:
    store.file("a").write_bytes(b"x" * MIB)
    with subscription(store), store.file("a").open("r+b", buffering=0) as file:
        with subscription(store) as dying:
            dying.settimeout(DEADLINE)
            assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == 0
            assert json.loads(dying.makefile().readline())["item"]["freed"] == BLOCK
        before = store.memory()
        for number in range(30_000):  # far more than fits into a socket's buffer
            assert host_fallocate(file.fileno(), PUNCH, number % 256 * BLOCK, BLOCK) == 0
        os.pwrite(file.fileno(), b"y" * BLOCK, 0)
        assert store.file("a").stat().st_size == MIB
        assert store.totals().events == 30_001
        assert store.totals().freed == MIB
        assert store.memory() - before < 16 * MIB


@rig
def test_a_malformed_or_oversized_request_is_an_answer_and_the_mount_goes_on(store: Store) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(str(store.control))
        lines = client.makefile()
        requests = [
            (b"{\n", errno.EINVAL),
            (b"\xff\n", errno.EINVAL),
            (b"x" * 100_000 + b"\n", errno.EMSGSIZE),
            (b'{"command": "dance"}\n', errno.EOPNOTSUPP),
            (b'{"command": "set_faults", "arguments": {"plan": 7}}\n', errno.EINVAL),
            (b'{"command": "set_faults", "arguments": {"plan": [{}]}}\n', errno.EINVAL),
            (b'{"command": "by_offset", "arguments": {"file": {}}}\n', errno.EINVAL),
        ]
        for request, number in requests:
            client.sendall(request)
            assert json.loads(lines.readline())["error"]["errno"] == number
        client.sendall(b'{"command": "totals"}\n')
        assert json.loads(lines.readline())["ok"] is True
    with subscription(store) as client:
        client.settimeout(DEADLINE)
        client.sendall(b"")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(str(store.control))
        client.sendall(b'{"command": "events", "arguments": {"since": -1}}\n')
        assert json.loads(client.makefile().readline())["error"]["errno"] == errno.EINVAL
    store.file("a").write_bytes(b"x")
    assert store.file("a").read_bytes() == b"x"
    assert store.errors.read_bytes() == b""


@rig
def test_memory_is_bounded_by_neither_files_nor_opens(store: Store) -> None:
    """Many names are created, opened, punched and removed; the server's memory for them is bounded."""
    path = store.file("a")

    def life(number: int) -> None:
        path.write_bytes(b"x" * BLOCK)
        with path.open("r+b") as file:
            assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == 0
        path.rename(store.file(f"file-{number}"))
        store.file(f"file-{number}").unlink()

    for number in range(200):
        life(number)
    before = store.memory()
    for number in range(200, 2000):
        life(number)
    assert store.totals().events == 2000
    assert store.memory() - before < 4 * MIB
    descriptors = len(list(Path(f"/proc/{store.server.pid}/fd").iterdir()))
    assert descriptors < 64
