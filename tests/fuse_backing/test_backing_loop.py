"""The ledger records the discards of a loop device on the mount, and the host frees the blocks."""

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fuse_backing import allocation
from tests.fuse_backing.backing_store import DEADLINE, Store, discard

pytestmark = pytest.mark.rig

MIB = 1 << 20
SIZE = 64 * MIB

Attach = Callable[[Path], Path]


def backing_file(store: Store) -> Path:
    with store.file("disk").open("wb") as file:
        file.truncate(SIZE)
    return store.file("disk")


def write(device: Path, offset: int, data: bytes) -> None:
    with device.open("r+b", buffering=0) as file:
        assert os.pwrite(file.fileno(), data, offset) == len(data)
        os.fsync(file.fileno())


def allocated(store: Store) -> int:
    with store.host("disk").open("rb") as file:
        return allocation.allocated_bytes(file.fileno(), 0, SIZE)


def test_a_discard_of_the_device_frees_the_blocks(store: Store, attach: Attach) -> None:
    device = attach(backing_file(store))
    data = random.Random(1).randbytes(16 * MIB)
    write(device, 8 * MIB, data)
    assert allocated(store) == 16 * MIB
    subprocess.run(
        ["blkdiscard", "--offset", str(12 * MIB), "--length", str(4 * MIB), device],
        check=True,
        timeout=DEADLINE,
    )
    assert allocated(store) == 12 * MIB
    assert (
        store.host("disk").read_bytes()[8 * MIB : 24 * MIB]
        == data[: 4 * MIB] + bytes(4 * MIB) + data[8 * MIB :]
    )
    subprocess.run(["blkdiscard", device], check=True, timeout=DEADLINE)
    totals = store.totals()
    assert (totals.freed, totals.punched_bytes, totals.errors) == (16 * MIB, SIZE + 4 * MIB, 0)
    assert store.host("disk").stat().st_blocks == 0


def test_the_sum_of_the_ledger_is_what_the_hosts_file_lost(store: Store, attach: Attach) -> None:
    device = attach(backing_file(store))
    rng = random.Random(2)
    model = bytearray(SIZE)
    lost = 0
    for _ in range(60):
        offset, length = rng.randrange(0, SIZE, 4096), rng.randrange(4096, 4 * MIB, 4096)
        length = min(length, SIZE - offset)
        data = rng.randbytes(length)
        write(device, offset, data)
        model[offset : offset + length] = data
        offset, length = rng.randrange(0, SIZE, 512), rng.randrange(4096, 4 * MIB, 512)
        length = min(length, SIZE - offset)
        before = allocated(store)
        discard(device, offset, length)
        lost += before - allocated(store)
        # The device may keep the data of a 4 KiB unit that a discard covers only in part.
        first, last = -(-offset // 4096) * 4096, (offset + length) // 4096 * 4096
        model[first:last] = bytes(max(0, last - first))
        with store.host("disk").open("rb") as file:
            model[offset:first] = os.pread(file.fileno(), first - offset, offset)
            model[last : offset + length] = os.pread(file.fileno(), offset + length - last, last)
    assert lost > 0
    assert store.totals().freed == lost == sum(event.freed for event in store.events())
    assert store.host("disk").read_bytes() == model


@pytest.mark.extents
def test_a_zero_out_of_the_device_is_a_zero_range(store: Store, attach: Attach) -> None:
    device = attach(backing_file(store))
    write(device, 0, random.Random(3).randbytes(4 * MIB))
    subprocess.run(
        ["blkdiscard", "--zeroout", "--length", str(4 * MIB), device], check=True, timeout=DEADLINE
    )
    assert store.host("disk").read_bytes() == bytes(SIZE)
    assert {event.operation for event in store.events()} == {"zero"}
    assert store.totals().zeroed_bytes == 4 * MIB


def test_the_discard_granularity_is_the_hosts_block_size(store: Store, attach: Attach) -> None:
    device = attach(backing_file(store))
    queue = Path("/sys/block") / device.name / "queue"
    assert int((queue / "discard_granularity").read_text()) == os.statvfs(store.directory).f_bsize
    assert int((queue / "discard_max_bytes").read_text()) > 0


def test_a_loop_device_does_not_hold_up_the_end(store: Store, attach: Attach) -> None:
    attach(backing_file(store))
    store.server.terminate()
    assert store.server.wait(DEADLINE) == 0
    assert "still in use" in store.errors.read_text()
