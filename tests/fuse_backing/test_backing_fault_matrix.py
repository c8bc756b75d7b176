"""These tests are the fault matrix of docs/explanation/backing-store.md: effects, ledger and recovery."""

import errno
import json
import mmap
import os
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from fuse_backing import mounts
from fuse_backing.errors import ControlError
from fuse_backing.events import LedgerEvent
from fuse_backing.faults import FaultKind, Operation
from fuse_backing.store_client import StoreClient
from tests.fuse_backing.backing_store import DEADLINE, Store, discard, failure, host_fallocate, run_command
from tests.repository import REPOSITORY

pytestmark = pytest.mark.rig

MIB = 1 << 20
SIZE = 16 * MIB
PUNCH = 3

served_by_server = pytest.mark.parametrize("data_served_by", ["server"], indirect=True)
served_by_kernel = pytest.mark.parametrize("data_served_by", ["kernel"], indirect=True)

Attach = Callable[[Path], Path]


@pytest.fixture
def device(store: Store, attach: Attach) -> Path:
    """Return a loop device whose file is fully allocated."""
    with store.file("disk").open("wb") as file:
        file.write(b"x" * SIZE)
    return attach(store.file("disk"))


def direct(device: Path, flags: int, offset: int, data: bytes = b"") -> bytes:
    """Read or write a block of 4 KiB without the page cache."""
    fd = os.open(device, flags | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 4096) as buffer:
            if data:
                buffer[:] = data
            done = os.pwritev(fd, [buffer], offset) if data else os.preadv(fd, [buffer], offset)
            assert done == 4096
            return bytes(buffer)
    finally:
        os.close(fd)


def flush(device: Path) -> None:
    fd = os.open(device, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _active(store: Store) -> list[dict[str, int]]:
    return list(json.loads(run_command("faults", "show", "--json", "--control", store.control).stdout))


def only_event(store: Store) -> LedgerEvent:
    [event] = store.events()
    return event


def test_a_punch_that_fails(store: Store, device: Path) -> None:
    store.set_faults({"operation": "punch", "action": "error", "errno": "ENOSPC", "nth": 2})
    assert failure(discard, device, 0, MIB) == 0
    assert failure(discard, device, MIB, MIB) == errno.EIO  # a loop device has no other error for a discard
    assert store.allocated("disk") == SIZE - MIB
    struck = store.events()[1]
    assert (struck.operation, struck.fault, struck.errno, struck.freed) == (
        Operation.PUNCH,
        FaultKind.ERROR,
        errno.ENOSPC,
        0,
    )
    assert (store.totals().faults, store.totals().errors, store.totals().freed) == (1, 1, MIB)
    assert failure(discard, device, MIB, MIB) == 0  # recovery: try again
    assert store.allocated("disk") == SIZE - 2 * MIB


def test_a_punch_that_is_not_supported(store: Store, device: Path, attach: Attach) -> None:
    store.set_faults({"operation": "punch", "action": "error", "errno": "EOPNOTSUPP"})
    assert (
        failure(discard, device, 0, MIB) == 0
    )  # the block layer hides it: blkdev_issue_discard, block/blk-lib.c
    event = only_event(store)
    assert (event.fault, event.errno, event.freed) == (FaultKind.ERROR, errno.EOPNOTSUPP, 0)
    assert store.allocated("disk") == SIZE
    again = attach(store.file("disk"))  # recovery: a loop device remembers the refusal, a new one does not
    assert failure(discard, again, 0, MIB) == 0
    assert store.totals().freed == MIB


def test_a_punch_that_is_late(store: Store, device: Path) -> None:
    store.set_faults({"operation": "punch", "action": "delay", "seconds": 0.2})
    discard(device, 0, MIB)
    event = only_event(store)
    assert (event.fault, event.errno, event.freed) == (FaultKind.DELAY, 0, MIB)


def test_a_share_of_punches_fails_and_the_same_ones_in_each_run(store: Store, device: Path) -> None:
    fault = {"operation": "punch", "action": "error", "errno": "EIO", "probability": 0.3, "seed": 4}
    runs = []
    for _ in range(2):
        store.set_faults(fault)
        runs.append([failure(discard, device, number * 65536, 65536) for number in range(40)])
    assert runs[0] == runs[1]
    assert 4 < runs[0].count(errno.EIO) < 25
    assert runs[0].count(0) == 40 - runs[0].count(errno.EIO)
    [active] = json.loads(run_command("faults", "show", "--json", "--control", store.control).stdout)
    assert active == {"fault": fault, "matched": 40, "struck": runs[1].count(errno.EIO)}


def test_punches_that_are_slowed_to_a_rate(store: Store, device: Path) -> None:
    store.set_faults({"operation": "punch", "action": "throttle", "operations_per_second": 1})
    began = time.monotonic()
    for number in range(2):
        discard(device, number * MIB, MIB)
    assert time.monotonic() - began >= 1
    assert [event.fault for event in store.events()] == [None, FaultKind.THROTTLE]
    assert store.totals().freed == 2 * MIB
    store.set_faults({"operation": "punch", "action": "throttle", "bytes_per_second": 1})
    discard(device, 8 * MIB, MIB)
    with subprocess.Popen(["blkdiscard", "--offset", str(9 * MIB), "--length", str(MIB), device]) as waiting:
        while not any(each["matched"] == 2 for each in _active(store)):
            assert waiting.poll() is None
        store.set_faults()  # the end of a plan ends its waits
        assert waiting.wait(DEADLINE) == 0
    assert store.totals().freed == 4 * MIB


def test_a_punch_that_frees_a_part(store: Store, device: Path) -> None:
    store.set_faults({"operation": "punch", "action": "partial", "bytes": 65536})
    discard(device, 0, MIB)
    event = only_event(store)
    assert (event.fault, event.errno, event.length, event.allocated, event.freed) == (
        FaultKind.PARTIAL,
        0,
        MIB,
        MIB,
        65536,
    )
    assert store.host("disk").read_bytes() == bytes(65536) + b"x" * (SIZE - 65536)
    discard(device, 0, MIB)
    assert store.totals().freed == MIB == SIZE - store.allocated("disk")


def test_a_punch_that_lies(store: Store, device: Path) -> None:
    store.set_faults({"operation": "punch", "action": "lie"})
    discard(device, 0, MIB)
    event = only_event(store)
    assert (event.fault, event.errno, event.allocated, event.freed) == (FaultKind.LIE, 0, MIB, 0)
    assert (store.totals().punched_bytes, store.totals().freed) == (MIB, 0)
    assert store.host("disk").read_bytes() == b"x" * SIZE
    discard(device, 0, MIB)
    assert store.totals().freed == MIB == SIZE - store.allocated("disk")


def test_a_zero_range_that_fails(store: Store, device: Path) -> None:
    store.set_faults({"operation": "zero", "action": "error", "errno": "EIO"})
    arguments = ["blkdiscard", "--zeroout", "--length", str(MIB), str(device)]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert "Input/output error" in result.stderr
    event = only_event(store)
    assert (event.operation, event.fault, event.errno) == (Operation.ZERO, FaultKind.ERROR, errno.EIO)
    subprocess.run(arguments, check=True, timeout=DEADLINE)
    assert store.host("disk").read_bytes() == bytes(MIB) + b"x" * (SIZE - MIB)


@served_by_server
def test_a_write_that_fails(store: Store, device: Path) -> None:
    store.set_faults({"operation": "write", "action": "error", "errno": "EIO", "offset": MIB, "length": 1})
    assert failure(direct, device, os.O_RDWR, 0, b"y" * 4096) == 0
    assert failure(direct, device, os.O_RDWR, MIB, b"y" * 4096) == errno.EIO
    event = only_event(store)
    assert (event.operation, event.fault, event.errno, event.offset, event.length) == (
        Operation.WRITE,
        FaultKind.ERROR,
        errno.EIO,
        MIB,
        4096,
    )
    assert store.host("disk").read_bytes()[MIB : MIB + 4096] == b"x" * 4096
    assert failure(direct, device, os.O_RDWR, MIB, b"y" * 4096) == 0
    assert store.host("disk").read_bytes()[MIB : MIB + 4096] == b"y" * 4096


@served_by_server
def test_a_store_that_is_full(store: Store, device: Path) -> None:
    store.set_faults({"operation": "write", "action": "full", "bytes": 8192})
    assert [failure(direct, device, os.O_RDWR, at * 4096, b"y" * 4096) for at in range(4)] == [
        0,
        0,
        errno.ENOSPC,
        errno.ENOSPC,
    ]
    assert {(event.operation, event.fault, event.errno) for event in store.events()} == {
        (Operation.WRITE, FaultKind.FULL, errno.ENOSPC)
    }
    assert direct(device, os.O_RDONLY, 8192) == b"x" * 4096
    store.set_faults()
    assert failure(direct, device, os.O_RDWR, 8192, b"y" * 4096) == 0


@served_by_server
def test_a_read_that_fails(store: Store, device: Path) -> None:
    store.set_faults({"operation": "read", "action": "error", "errno": "EIO"})
    assert failure(direct, device, os.O_RDONLY, 0) == errno.EIO
    event = only_event(store)
    assert (event.operation, event.fault, event.errno) == (Operation.READ, FaultKind.ERROR, errno.EIO)
    assert direct(device, os.O_RDONLY, 0) == b"x" * 4096


@served_by_server
@pytest.mark.parametrize("operation", ["read", "write"])
def test_data_that_is_late(store: Store, device: Path, operation: str) -> None:
    store.set_faults({"operation": operation, "action": "delay", "seconds": 0.2})
    direct(device, os.O_RDWR, 0, b"y" * 4096)
    assert direct(device, os.O_RDONLY, 0) == b"y" * 4096
    event = only_event(store)
    assert (event.operation, event.fault, event.errno) == (operation, FaultKind.DELAY, 0)


def test_a_flush_that_fails(store: Store, device: Path) -> None:
    store.set_faults({"operation": "fsync", "action": "error", "errno": "EIO"})
    assert failure(flush, device) == errno.EIO
    event = only_event(store)
    assert (event.operation, event.fault, event.errno) == (Operation.FSYNC, FaultKind.ERROR, errno.EIO)
    assert failure(flush, device) == 0


def test_a_flush_that_lies(store: Store, device: Path) -> None:
    store.set_faults({"operation": "fsync", "action": "lie"})
    assert failure(flush, device) == 0
    assert only_event(store).fault is FaultKind.LIE


def crash_at_a_punch(store: Store, device: Path) -> None:
    store.set_faults({"operation": "punch", "action": "crash", "nth": 2})
    discard(device, 0, MIB)
    with pytest.raises(OSError, match=r"Input/output error|Software caused|not connected"):
        discard(device, MIB, MIB)
    assert store.server.wait(DEADLINE) == -9


def mend(store: Store, device: Path) -> None:
    """Recover after a server's death: unmount, mount; a new loop device has all data."""
    assert (
        "its server had died" in run_command("unmount", store.mountpoint, "--control", store.control).stdout
    )
    assert mounts.mount_on(store.mountpoint) is None
    store.start()
    assert store.file("disk").read_bytes() == bytes(MIB) + b"x" * (SIZE - MIB)


@served_by_server
def test_a_server_that_crashes_with_the_data_in_its_hands(
    make_store: Callable[..., Store], attach: Attach, tmp_path: Path
) -> None:
    store = make_store("--events", str(tmp_path / "events"))
    store.file("disk").write_bytes(b"x" * SIZE)
    device = attach(store.file("disk"))
    crash_at_a_punch(store, device)
    assert failure(direct, device, os.O_RDONLY, 0) == errno.EIO
    assert failure(direct, device, os.O_RDWR, 0, b"y" * 4096) == errno.EIO
    last = json.loads((tmp_path / "events").read_text().splitlines()[-1])
    assert (last["sequence"], last["operation"], last["fault"], last["offset"]) == (2, "punch", "crash", MIB)
    mend(store, device)


@served_by_kernel
def test_a_server_that_crashes_while_the_kernel_serves_the_data(
    make_store: Callable[..., Store], attach: Attach, tmp_path: Path
) -> None:
    store = make_store("--events", str(tmp_path / "events"))
    store.file("disk").write_bytes(b"x" * SIZE)
    device = attach(store.file("disk"))
    crash_at_a_punch(store, device)
    assert direct(device, os.O_RDONLY, MIB) == b"x" * 4096
    direct(device, os.O_RDWR, MIB, b"y" * 4096)  # the kernel still has the backing file
    direct(device, os.O_RDWR, MIB, b"x" * 4096)
    assert failure(discard, device, MIB, MIB) == errno.EIO
    assert failure(flush, device) == errno.EIO
    last = json.loads((tmp_path / "events").read_text().splitlines()[-1])
    assert (last["sequence"], last["operation"], last["fault"], last["offset"]) == (2, "punch", "crash", MIB)
    mend(store, device)


@served_by_server
def test_a_server_that_crashes_at_the_nth_request_of_any_kind(store: Store) -> None:
    store.file("a").write_bytes(b"x" * 8192)
    store.set_faults({"operation": "any", "action": "crash", "nth": 4})
    fd = os.open(store.file("a"), os.O_RDWR)
    try:
        assert os.pread(fd, 4096, 0) == b"x" * 4096
        assert os.pwrite(fd, b"y" * 4096, 0) == 4096
        os.fsync(fd)
        assert store.server.poll() is None
        assert host_fallocate(fd, PUNCH, 0, 4096) != 0
    finally:
        with suppress(OSError):  # the flush fails
            os.close(fd)
    assert store.server.wait(DEADLINE) == -9
    assert store.host("a").read_bytes() == b"y" * 4096 + b"x" * 4096


@served_by_kernel
@pytest.mark.parametrize("operation", ["read", "write", "any"])
def test_faults_of_data_are_refused_where_the_kernel_serves_it(store: Store, operation: str) -> None:
    with pytest.raises(ControlError, match="mount it with --passthrough off") as raised:
        store.set_faults({"operation": operation, "action": "error", "errno": "EIO"})
    assert raised.value.errno == errno.EINVAL
    assert trio.run(StoreClient(store.control).faults) == []


@pytest.mark.extents  # the C code serves a punch only on a host with FIEMAP
def test_once_a_plan_is_cleared_punches_are_served_as_before(store: Store, device: Path) -> None:
    discard(device, 0, MIB)
    natively = store.counters()["served_natively"]
    assert natively > 0
    store.set_faults({"operation": "punch", "action": "lie", "nth": 1000})
    discard(device, MIB, MIB)
    assert store.counters()["served_natively"] == natively
    store.set_faults()
    discard(device, 2 * MIB, MIB)
    assert store.counters()["served_natively"] > natively
    assert store.totals().freed == 3 * MIB


@pytest.mark.parametrize("operation", ["punch", "fsync"])
@pytest.mark.parametrize("way_out", ["clear", "terminate"])
def test_a_delay_ends_with_its_plan_and_with_the_server(store: Store, operation: str, way_out: str) -> None:
    store.file("a").write_bytes(b"x" * MIB)
    store.set_faults({"operation": operation, "action": "delay", "seconds": 3600})
    child = os.fork()
    if child == 0:
        fd = os.open(store.file("a"), os.O_RDWR)
        os._exit(host_fallocate(fd, PUNCH, 0, 4096) if operation == "punch" else failure(os.fsync, fd))
    while not any(each.struck for each in trio.run(StoreClient(store.control).faults)):
        assert store.server.poll() is None
    if way_out == "clear":
        store.set_faults()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    else:
        store.server.terminate()
        assert store.server.wait(DEADLINE) == 0
        os.waitpid(child, 0)
    if operation == "punch":
        assert store.host("a").read_bytes() == bytes(4096) + b"x" * (MIB - 4096)


def test_the_same_plan_and_the_same_requests_give_the_same_ledger(make_store: Callable[..., Store]) -> None:
    ledgers = []
    for _ in range(2):
        store = make_store()
        store.file("a").write_bytes(b"x" * MIB)
        store.set_faults(
            {"operation": "punch", "action": "partial", "bytes": 4096, "nth": 3, "times": 2},
            {"operation": "punch", "action": "lie", "nth": 5, "times": 3},
            {"operation": "punch", "action": "error", "errno": "EIO", "offset": 40960, "times": "always"},
        )
        with store.file("a").open("r+b") as file:
            answers = [host_fallocate(file.fileno(), PUNCH, at * 8192, 8192) for at in range(16)]
        ledgers.append(
            (answers, [(event.sequence, event.fault, event.errno, event.freed) for event in store.events()])
        )
    assert ledgers[0] == ledgers[1]
    assert ledgers[0][0].count(errno.EIO) > 0
    assert {fault for _, fault, _, _ in ledgers[0][1]} == {
        None,
        FaultKind.PARTIAL,
        FaultKind.LIE,
        FaultKind.ERROR,
    }


def test_faults_are_set_shown_and_cleared_by_command(store: Store, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[[fault]]\noperation = "punch"\naction = "lie"\n')
    control = ("--control", store.control)
    assert run_command("faults", "set", store.mountpoint, plan, *control).stdout.endswith(
        ": faults in force: 1\n"
    )
    store.file("a").write_bytes(b"x" * 8192)
    with store.file("a").open("r+b") as file:
        assert [host_fallocate(file.fileno(), PUNCH, 0, 4096) for _ in range(3)] == [0, 0, 0]
    shown = json.loads(run_command("faults", "show", "--json", *control).stdout)
    assert shown == [{"fault": {"action": "lie", "operation": "punch"}, "matched": 3, "struck": 1}]
    assert "lie punch" in run_command("faults", "show", *control).stdout
    assert "fault lie" in run_command("events", *control).stdout
    run_command("faults", "clear", *control)
    assert run_command("faults", "show", *control).stdout == "no faults are in force\n"
    plan.write_text('[[fault]]\noperation = "punch"\naction = "lie"\nerrno = "EIO"\n')
    refused = run_command("faults", "set", store.mountpoint, plan, *control, check=False)
    assert (refused.returncode, refused.stderr) == (
        1,
        f"Error: {plan}: fault 1: action 'lie' has no 'errno'\n",
    )


def test_every_row_of_the_documented_matrix_is_a_test_of_this_file() -> None:
    document = (REPOSITORY / "docs" / "explanation" / "backing-store.md").read_text()
    table = document.partition("### The fault matrix")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| fault |")]
    assert len(rows) == 15
    for row in rows:
        found = re.search(r"`(test_\w+)` \|$", row)
        assert found is not None, row
        assert callable(globals()[found[1]]), row
