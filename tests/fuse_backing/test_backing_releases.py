"""The ledger has the bytes that the host frees with the last use of a removed file."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fuse_backing.faults import Operation
from fuse_backing.system_calls import renameat2
from tests.fuse_backing.backing_store import DEADLINE, Store, discard, host_fallocate, names_in
from tests.host_file_systems import HostFileSystem

rig = pytest.mark.rig
without_uring = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)

BLOCK = 4096
MIB = 1 << 20
PUNCH = 3

Attach = Callable[[Path], Path]


def blocks_below(directory: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in directory.iterdir())


@rig
@without_uring
def test_the_last_close_of_a_removed_file_is_a_release_under_its_last_path(store: Store) -> None:
    store.file("d").mkdir()
    with store.file("d/a").open("w+b", buffering=0) as file:
        file.write(b"x" * MIB)
        os.fsync(file.fileno())
        store.file("d/a").unlink()
        store.file("d").rename(store.file("e"))
        assert host_fallocate(file.fileno(), PUNCH, 0, 4 * BLOCK) == 0
        assert [event.operation for event in store.events()] == [Operation.PUNCH]
    (event,) = store.releases(1)
    held = MIB - 4 * BLOCK
    assert (event.file, event.length, event.allocated, event.freed) == ("e/a", MIB, held, held)
    assert (event.errno, event.offset, event.mode) == (0, 0, 0)
    assert store.totals().freed == MIB
    assert store.by_offset_sum("d/a") + store.by_offset_sum("e/a") == 4 * BLOCK


@rig
@without_uring
def test_a_name_less_is_no_release_as_long_as_another_is_left(store: Store) -> None:
    store.file("a").write_bytes(b"x" * MIB)
    store.file("b").hardlink_to(store.file("a"))
    store.file("a").unlink()
    store.file("empty").touch()
    store.file("empty").unlink()
    assert store.file("b").read_bytes() == b"x" * MIB
    store.file("b").unlink()
    (event,) = store.releases(1)
    assert (event.file, event.freed) == ("b", MIB)
    assert store.totals().events == 1


@rig
@without_uring
def test_a_replaced_file_is_released_and_an_exchanged_one_is_not(store: Store) -> None:
    for name, size in (("a", 1), ("b", 2), ("c", 3)):
        store.file(name).write_bytes(b"x" * size * MIB)
    renameat2(-100, os.fsencode(store.file("a")), -100, os.fsencode(store.file("b")), 2)
    store.file("c").rename(store.file("b"))
    (event,) = store.releases(1)
    assert (event.file, event.freed) == ("b", MIB)
    assert names_in(store.mountpoint) == ["a", "b"]
    assert (store.file("a").stat().st_size, store.file("b").stat().st_size) == (2 * MIB, 3 * MIB)


@rig
@without_uring
def test_a_removed_file_that_a_loop_device_holds_is_released_with_the_device(store: Store) -> None:
    store.file("disk").write_bytes(b"x" * MIB)
    attached = subprocess.run(
        ["losetup", "--find", "--show", store.file("disk")],
        check=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    device = Path(attached.stdout.strip())
    try:
        store.file("disk").unlink()
        discard(device, 0, 4 * BLOCK)
        assert [event.operation for event in store.events()] == [Operation.PUNCH]
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=DEADLINE)
    (event,) = store.releases(1)
    assert (event.file, event.freed) == ("disk", MIB - 4 * BLOCK)


@rig
@without_uring
def test_a_removed_file_that_the_host_itself_has_open_keeps_its_data(store: Store) -> None:
    store.file("a").write_bytes(b"x" * MIB)
    with store.host("a").open("rb") as host:
        store.file("a").unlink()
        store.file("b").write_bytes(b"y" * MIB)
        store.file("b").unlink()
        (event,) = store.releases(1)
        assert event.file == "b"
        assert host.read() == b"x" * MIB
        assert store.totals().events == 1  # if the host closes the file soon, the store still sees that


@rig
@without_uring
@pytest.mark.parametrize("host", ["ext4", "xfs with reflink", "btrfs", "tmpfs"], indirect=True)
def test_the_releases_of_a_removed_tree_are_the_bytes_of_the_host(
    host: HostFileSystem, fitting_store: Store
) -> None:
    store = fitting_store
    store.file("d/e").mkdir(parents=True)
    for number in range(20):
        with store.file(f"d/e/{number}").open("wb") as file:
            file.write(b"x" * (number + 1) * 16 * BLOCK)
            os.fsync(file.fileno())
    held = sum((number + 1) * 16 * BLOCK for number in range(20))
    deadline = time.monotonic() + DEADLINE
    while blocks_below(store.host("d/e")) != held:  # XFS trims what it allocated ahead with the last close
        assert time.monotonic() < deadline
    for number in range(20):
        store.file(f"d/e/{number}").unlink()
    found = store.releases(20)
    assert sum(event.freed for event in found) == held == store.totals().freed


@rig
@without_uring
def test_a_file_that_was_truncated_by_its_name_is_not_held_after_its_removal(store: Store) -> None:
    store.file("a").write_bytes(b"x" * MIB)
    with store.file("a").open("r+b") as file:
        os.truncate(store.file("a"), BLOCK)
        store.file("a").unlink()
        os.fsync(file.fileno())
    (event,) = store.releases(1)
    assert (event.file, event.length) == ("a", BLOCK)
    descriptors = [entry for entry in Path(f"/proc/{store.server.pid}/fd").iterdir() if entry.is_symlink()]
    held = [str(entry.readlink()) for entry in descriptors]
    assert not [place for place in held if place.endswith("(deleted)") and str(store.directory) in place]
