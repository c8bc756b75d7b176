"""A faulty block device carries out each fault of its plan and records it in the ledger."""

import errno
import time
from pathlib import Path

import pytest

from fuse_backing.faults import FaultKind, FaultPlan
from fuse_backing.ledger import Ledger
from thinsim.block.faulty import FaultyBlockDevice
from thinsim.block.sparse import SparseBlockDevice
from thinsim.errors import InvalidValueError

MiB = 1 << 20


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def device(tmp_path: Path, ledger: Ledger) -> FaultyBlockDevice:
    inner = SparseBlockDevice.create(tmp_path / "data", 4 * MiB, ledger)
    inner.write(0, b"x" * MiB)
    return FaultyBlockDevice(inner, "data", ledger)


def plan(**fault: object) -> FaultPlan:
    return FaultPlan.from_json([fault])


def test_without_a_plan_everything_goes_through(device: FaultyBlockDevice, ledger: Ledger) -> None:
    device.discard(0, MiB)
    assert device.read(0, MiB) == bytes(MiB)
    assert ledger.totals.freed == MiB
    assert device.size == device.max_discard_bytes == 4 * MiB


def test_a_lie_reports_success_and_punches_nothing(device: FaultyBlockDevice, ledger: Ledger) -> None:
    device.set(plan(operation="punch", action="lie"))
    device.discard(0, MiB)
    assert device.read(0, MiB) == b"x" * MiB
    assert ledger.totals.freed == 0
    assert [event.fault for event in ledger.events()] == [FaultKind.LIE]


def test_a_partial_punch_punches_its_first_bytes(device: FaultyBlockDevice, ledger: Ledger) -> None:
    device.set(plan(operation="punch", action="partial", bytes=MiB - 65536))
    device.discard(0, MiB)
    assert device.read(0, MiB) == bytes(MiB - 65536) + b"x" * 65536
    assert ledger.totals.freed == MiB - 65536


def test_a_throttled_request_waits_and_is_done(device: FaultyBlockDevice) -> None:
    slow = plan(operation="read", action="throttle", operations_per_second=2)
    device.set(slow)
    began = time.monotonic()
    for _ in range(2):
        assert device.read(0, 512) == b"x" * 512
    assert time.monotonic() - began >= 0.5
    assert (slow.matched, slow.struck) == ([2], [1])


def test_an_error_is_raised_and_nothing_done(device: FaultyBlockDevice, ledger: Ledger) -> None:
    device.set(plan(operation="any", action="error", errno="EIO", times="always"))
    for work in (
        lambda: device.read(0, 512),
        lambda: device.write(0, bytes(512)),
        lambda: device.discard(0, 512),
        device.flush,
    ):
        with pytest.raises(OSError, match="data") as caught:
            work()
        assert caught.value.errno == errno.EIO
    device.set(FaultPlan())
    assert device.read(0, MiB) == b"x" * MiB
    assert ledger.totals.errors == 4


def test_a_full_store_refuses_writes_beyond_its_bytes(device: FaultyBlockDevice) -> None:
    device.set(plan(operation="write", action="full", bytes=1024))
    device.write(0, bytes(1024))
    with pytest.raises(OSError, match="data") as caught:
        device.write(1024, bytes(512))
    assert caught.value.errno == errno.ENOSPC


def test_a_crash_is_refused_where_there_is_no_server(device: FaultyBlockDevice) -> None:
    with pytest.raises(InvalidValueError, match="needs a backing store in its own process"):
        device.set(plan(operation="punch", action="crash"))
