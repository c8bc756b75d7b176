"""The ledger counts each use of fallocate and each tool that discards, and agrees with the host's extents."""

import errno
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fuse_backing import allocation
from fuse_backing.faults import Operation
from tests.fuse_backing.backing_store import DEADLINE, Store, discard, host_fallocate

pytestmark = pytest.mark.rig

BLOCK = 4096
MIB = 1 << 20
SIZE = 320 * MIB  # mkfs.xfs needs 300
KEEP, PUNCH, ZERO = 1, 3, 0x10
LARGEST = (1 << 63) - 1

Attach = Callable[[Path], Path]


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def ranges_of(path: Path) -> list[allocation.Range]:
    with path.open("rb") as file:
        return allocation.allocated_ranges(file.fileno(), 0, LARGEST)


def run(*arguments: object) -> str:
    return subprocess.run(
        [*map(str, arguments)], check=True, capture_output=True, text=True, timeout=DEADLINE
    ).stdout


def filled(store: Store, attach: Attach) -> Path:
    """Return a loop device whose file is fully allocated."""
    with store.file("disk").open("wb") as file:
        for number in range(SIZE // MIB):
            file.write(noise(number, MIB))
    assert store.allocated("disk") == SIZE
    return attach(store.file("disk"))


@pytest.mark.parametrize("mode", [PUNCH, ZERO, ZERO | KEEP, KEEP, 0])
def test_any_range_does_what_the_host_does_alone(store: Store, tmp_path: Path, mode: int) -> None:
    """Try unaligned, small and overlapping ranges, and ranges past the end; a plain file is the model."""
    plain = tmp_path / "plain"
    data = noise(mode, 64 * BLOCK + 100)
    rng = random.Random(mode)
    ranges = [
        (0, 1),
        (1, BLOCK - 2),
        (100, BLOCK),
        (BLOCK, BLOCK),
        (BLOCK - 1, BLOCK + 2),
        (2 * BLOCK, 8 * BLOCK),
        (4 * BLOCK, 8 * BLOCK),
        (4 * BLOCK, 8 * BLOCK),
        (60 * BLOCK + 7, 10 * BLOCK),
        (64 * BLOCK, 100),
        (64 * BLOCK, BLOCK),
        (65 * BLOCK, BLOCK),
        (200 * BLOCK, BLOCK),
        *((rng.randrange(70 * BLOCK), rng.randrange(1, 9 * BLOCK)) for _ in range(40)),
    ]
    plain.write_bytes(data)
    store.file("a").write_bytes(data)
    freed = 0
    with plain.open("r+b") as host, store.file("a").open("r+b") as served:
        for offset, length in ranges:
            before = store.allocated("a")
            expected = host_fallocate(host.fileno(), mode, offset, length)
            assert host_fallocate(served.fileno(), mode, offset, length) == expected
            freed += max(0, before - store.allocated("a"))
            assert store.file("a").stat().st_size == plain.stat().st_size
            assert ranges_of(store.host("a")) == ranges_of(plain), (offset, length)
    assert store.host("a").read_bytes() == plain.read_bytes() == store.file("a").read_bytes()
    assert store.totals().freed == freed
    assert store.totals().events == (len(ranges) if mode & (PUNCH & ~KEEP | ZERO) else 0)


def test_a_length_of_zero_and_an_end_beyond_all_files_are_refused_and_nothing_else_is(store: Store) -> None:
    store.file("a").write_bytes(b"x" * 4 * BLOCK)
    with store.file("a").open("r+b") as file:
        assert host_fallocate(file.fileno(), PUNCH, 0, 0) == errno.EINVAL
        assert host_fallocate(file.fileno(), PUNCH, -1, BLOCK) == errno.EINVAL
        assert host_fallocate(file.fileno(), PUNCH, LARGEST, LARGEST) == errno.EFBIG
        assert store.events() == []  # the kernel refuses these itself
        assert host_fallocate(file.fileno(), PUNCH, 0, LARGEST) in (0, errno.EFBIG)
        assert host_fallocate(file.fileno(), PUNCH, LARGEST - BLOCK, BLOCK) in (0, errno.EFBIG)
        assert host_fallocate(file.fileno(), PUNCH, 0, BLOCK) == 0
    assert len(store.events()) == 3
    assert store.totals().freed == 4 * BLOCK - store.allocated("a")


def test_punches_of_any_size_are_measured_alike(store: Store) -> None:
    """The channel's thread serves small punches, Python long ones; the lengths are around both limits."""
    store.file("a").write_bytes(b"x" * 40 * MIB)
    with store.file("a").open("r+b") as file:
        for length in (MIB, MIB + 1, 16 * MIB, 16 * MIB + 1):
            before = store.allocated("a")
            assert host_fallocate(file.fileno(), PUNCH, 0, length) == 0
            event = store.events()[-1]
            assert (event.length, event.freed) == (length, before - store.allocated("a"))
        assert host_fallocate(file.fileno(), PUNCH, 0, 40 * MIB) == 0
    assert store.allocated("a") == 0
    assert store.totals().freed == 40 * MIB


def test_no_request_for_data_leaves_the_kernel_under_passthrough(store: Store, attach: Attach) -> None:
    data = noise(1, 4 * MIB)
    store.file("disk").write_bytes(data)
    device = attach(store.file("disk"))
    assert device.read_bytes() == data == store.file("disk").read_bytes()
    with device.open("r+b") as block:
        block.write(data[::-1])
        block.flush()
        os.fsync(block.fileno())
    discard(device, 0, MIB)
    assert store.file("disk").read_bytes() == bytes(MIB) + data[::-1][MIB:]
    if store.passthrough == "on":
        assert store.counters()["data_requests"] == 0
    else:
        assert store.counters()["data_requests"] > 0
    assert store.totals().freed == MIB


def test_blkdiscard_of_a_device_in_parts(store: Store, attach: Attach) -> None:
    device = filled(store, attach)
    for offset, length in ((0, BLOCK), (3 * BLOCK + 512, 5 * BLOCK), (MIB, 100 * MIB), (50 * MIB, 100 * MIB)):
        before, freed = store.allocated("disk"), store.totals().freed
        run("blkdiscard", "--offset", offset, "--length", length, device)
        assert store.totals().freed - freed == before - store.allocated("disk")
    run("blkdiscard", device)
    assert store.totals().freed == SIZE
    assert store.allocated("disk") == 0


@pytest.mark.extents
def test_blkdiscard_of_zeroes_keeps_the_allocation(store: Store, attach: Attach) -> None:
    device = filled(store, attach)
    run("blkdiscard", "--zeroout", "--offset", MIB, "--length", 100 * MIB, device)
    totals = store.totals()
    assert (totals.zeroed_bytes, totals.punched_bytes, totals.freed) == (100 * MIB, 0, 0)
    assert store.allocated("disk") == SIZE
    with store.host("disk").open("rb") as host:
        assert os.pread(host.fileno(), 102 * MIB, 0) == noise(0, MIB) + bytes(100 * MIB) + noise(101, MIB)


@pytest.mark.extents
@pytest.mark.parametrize(
    "command",
    [["mkfs.ext4", "-q", "-E", "discard"], ["mkfs.xfs", "-q"], ["mkfs.btrfs", "-q"]],
    ids=lambda c: c[0],
)
def test_the_discards_of_mkfs(store: Store, attach: Attach, command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}: apt-get install e2fsprogs xfsprogs btrfs-progs")
    device = filled(store, attach)
    run(*command, device)
    totals = store.totals()
    # All of the device was allocated, and mkfs discards all of it before it writes. So the ledger has its
    # whole size, and the blocks that are allocated now were written since.
    assert totals.freed == SIZE
    assert store.allocated("disk") < SIZE
    assert {event.errno for event in store.events()} == {0}


@contextmanager
def mounted(device: Path, place: Path) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    run("mount", "-o", "noatime", device, place)
    try:
        yield place
    finally:
        run("umount", place)


@pytest.mark.parametrize(
    "command", [["mkfs.ext4", "-q", "-E", "lazy_itable_init=0"], ["mkfs.xfs", "-q"]], ids=lambda c: c[0]
)
def test_fstrim_frees_the_blocks_of_deleted_files(
    store: Store, attach: Attach, tmp_path: Path, command: list[str]
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}: apt-get install e2fsprogs xfsprogs btrfs-progs")
    with store.file("disk").open("wb") as file:
        file.truncate(SIZE)
    device = attach(store.file("disk"))
    run(*command, device)
    with mounted(device, tmp_path / "fs") as place:
        for number in range(20):
            (place / str(number)).write_bytes(noise(number, 2 * MIB + number))
        run("sync", "-f", place)
        for number in range(0, 20, 2):
            (place / str(number)).unlink()
    with mounted(device, tmp_path / "fs") as place:  # mount again: blocks that xfs frees late are free now
        run("sync", "-f", place)
        before, totals = store.allocated("disk"), store.totals()
        printed = re.search(r"\((\d+) bytes\)", run("fstrim", "-v", place))
        assert printed is not None
        # xfs does not wait for its last discards (fs/xfs/xfs_discard.c); a flush follows them.
        run("sync", device)
        after, trimmed = store.allocated("disk"), store.totals()
        assert trimmed.freed - totals.freed == before - after
        assert before - after >= 20 * MIB
        punched = trimmed.punched_bytes - totals.punched_bytes
        # ext4 prints the bytes that it discarded; xfs also counts free bytes that it did not discard.
        assert punched == int(printed[1]) if command[0] == "mkfs.ext4" else 0 < punched <= int(printed[1])
        for number in range(1, 20, 2):
            assert (place / str(number)).read_bytes() == noise(number, 2 * MIB + number)
    assert {event.operation for event in store.events()} <= {Operation.PUNCH, Operation.ZERO}
