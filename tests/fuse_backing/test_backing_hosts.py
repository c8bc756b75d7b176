"""The ledger agrees with the space that the host file system has in use, on every kind of host."""

import os
import subprocess
from collections.abc import Callable

import pytest

from tests.fuse_backing.backing_store import DEADLINE, Store, host_fallocate
from tests.fuse_backing.hosts import (
    BLOCK,
    COPYING,
    KEEP,
    NO_PREALLOCATION,
    PUNCH,
    SERVED,
    ZERO,
    Punched,
    each,
    on,
    served_by_server,
    ways,
)
from tests.host_file_systems import MIB, HostFileSystem

pytestmark = pytest.mark.rig


@ways(
    server=(
        "ext4 with blocks of 1 KiB",
        "ext4 with clusters of 64 KiB",
        "xfs with reflink",
        "btrfs compressed",
        "tmpfs with huge pages",
        "overlay on ext4",
    ),
    kernel=("ext4", "btrfs"),
)
def test_the_ledger_agrees_with_the_host(host: HostFileSystem, punched: Callable[..., Punched]) -> None:
    file = punched("file")

    def punch_all(*ranges: tuple[int, int]) -> Callable[[], None]:
        def act() -> None:
            for offset, length in ranges:
                file.punch(offset, length)

        return act

    # One write, then punches: every second MiB, every second block of one MiB, all the rest.
    file.write(0, os.urandom(16 * MIB))
    os.fsync(file.fd)
    file.freed_by(punch_all(*each(MIB, 16 * MIB, 2 * MIB, MIB)))
    file.freed_by(punch_all(*each(2 * MIB, 2 * MIB + 32 * BLOCK, 2 * BLOCK, BLOCK)))
    file.freed_by(punch_all(*each(0, 16 * MIB, 2 * MIB, MIB)))
    # Zeroes, which compress well, and a hole that ends within blocks.
    file.write(32 * MIB, b"abcdefgh" * (4 * MIB // 8))
    os.fsync(file.fd)
    cut = 2 * BLOCK if host.kind in COPYING else 0
    file.freed_by(punch_all((32 * MIB + 1000, 2 * MIB)), grown=cut)
    file.freed_by(punch_all((32 * MIB, 4 * MIB)))
    # Overwrite a part: btrfs keeps the old extent for the rest of it.
    file.write(48 * MIB, os.urandom(8 * MIB))
    os.fsync(file.fd)
    for offset in range(48, 56, 2):
        file.write(offset * MIB, os.urandom(MIB))
    os.fsync(file.fd)
    file.freed_by(punch_all((48 * MIB, 4 * MIB)))
    file.freed_by(punch_all((52 * MIB, 4 * MIB)))
    # Punch delayed data: blocks that the host would have allocated count as freed.
    before = host.used()

    def write_and_punch() -> None:
        file.write(64 * MIB, os.urandom(4 * MIB))
        file.punch(64 * MIB, 4 * MIB)

    assert file.freed_by(write_and_punch, grown=4 * MIB) == 4 * MIB
    assert host.used() == before


@on("ext4 with clusters of 64 KiB", "btrfs compressed", "overlay on tmpfs", of=SERVED)
@served_by_server
def test_preallocated_space_is_freed_by_a_punch_or_refused(
    host: HostFileSystem, punched: Callable[..., Punched]
) -> None:
    file = punched("file")
    refused = host_fallocate(file.fd, 0, 0, 8 * MIB)
    if host.kind in NO_PREALLOCATION:
        assert os.strerror(refused) == "Operation not supported"
        return
    assert refused == 0
    file.write(3 * MIB, os.urandom(MIB))
    os.fsync(file.fd)
    file.freed_by(lambda: file.punch(2 * MIB, 3 * MIB))
    file.freed_by(lambda: file.punch(0, 8 * MIB))


@on("ext4 with clusters of 64 KiB", "btrfs", "tmpfs with huge pages", of=SERVED)
@served_by_server
def test_a_truncation_is_in_the_ledger_with_what_it_freed(
    host: HostFileSystem, fitting_store: Store, punched: Callable[..., Punched]
) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(4 * MIB + 100))
    os.fsync(file.fd)
    freed = file.freed_by(lambda: os.ftruncate(file.fd, MIB + 5))
    freed += file.freed_by(lambda: os.truncate(fitting_store.file("file"), 0))
    first, last = fitting_store.events()[-2:]
    assert (first.operation, first.file, first.offset) == ("truncate", "file", MIB + 5)
    assert first.length >= 3 * MIB
    assert last.operation == "truncate"
    assert first.freed + last.freed == freed >= 4 * MIB
    file.write(0, os.urandom(2 * MIB))
    os.fsync(file.fd)
    assert file.freed_by(lambda: fitting_store.file("file").write_bytes(b"")) >= 2 * MIB
    assert os.fstat(file.fd).st_size == fitting_store.file("file").stat().st_size == 0
    assert fitting_store.by_offset_sum("file") == freed + fitting_store.events()[-1].freed


@on("ext4", "xfs")
@served_by_server
def test_failures_on_a_host_that_died_are_in_the_ledger(
    host: HostFileSystem, fitting_store: Store, punched: Callable[..., Punched]
) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(MIB))
    os.fsync(file.fd)
    subprocess.run(["xfs_io", "-x", "-c", "shutdown", host.root], check=True, timeout=DEADLINE)
    assert os.strerror(host_fallocate(file.fd, PUNCH, 0, MIB // 2)) == "Input/output error"
    assert os.strerror(host_fallocate(file.fd, ZERO | KEEP, 0, MIB // 2)) == "Input/output error"
    failed = [(event.operation, event.freed, event.errno) for event in fitting_store.events()]
    assert failed == [("punch", 0, 5), ("zero", 0, 5)]
