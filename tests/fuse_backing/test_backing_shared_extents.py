"""An extent that files, snapshots or places share is freed with the last of them, and not before."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Callable

import pytest

from tests.fuse_backing.backing_store import DEADLINE, Store, host_fallocate
from tests.fuse_backing.hosts import PUNCH, MakeStore, Punched, make_clone, on, served_by_server
from tests.host_file_systems import CLONING, MIB, HostFileSystem

pytestmark = pytest.mark.rig


@on("xfs with reflink", "btrfs", of=CLONING)
@served_by_server
def test_a_punch_of_an_extent_shared_with_another_file_frees_nothing(
    host: HostFileSystem, fitting_store: Store, punched: Callable[..., Punched]
) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(8 * MIB))
    os.fsync(file.fd)
    make_clone(host, file.host_file)
    assert file.freed_by(lambda: file.punch(0, 4 * MIB)) == 0
    (host.directory / "clone").unlink()


@on("btrfs", of=("btrfs compressed", "btrfs nodatacow"))
@served_by_server
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "removed"])
def test_a_clone_made_a_moment_ago_counts_before_the_host_has_committed_it(
    host: HostFileSystem, fitting_store: Store, kept: bool
) -> None:
    """btrfs looks for the users of an extent in its last commit, in which neither file exists yet."""
    content = os.urandom(4 * MIB)
    with (
        fitting_store.file("file").open("w+b", buffering=0) as file,
        (host.directory / "clone").open("w+b") as clone,
    ):
        file.write(content)
        with fitting_store.host("file").open("rb") as source:
            fcntl.ioctl(clone, 0x40049409, source.fileno())  # FICLONE
        if not kept:
            clone.truncate(0)
        assert host_fallocate(file.fileno(), PUNCH, 0, MIB) == 0
        os.ftruncate(file.fileno(), 0)
        assert clone.read() == (content if kept else b"")
    assert fitting_store.totals().freed == (0 if kept else 4 * MIB)
    assert fitting_store.totals().errors == 0


@on("xfs with reflink", "btrfs", of=CLONING)
@served_by_server
def test_delayed_data_over_a_clone_belongs_to_the_file_alone(
    host: HostFileSystem, fitting_store: Store, punched: Callable[..., Punched]
) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(8 * MIB))
    os.fsync(file.fd)
    make_clone(host, file.host_file)

    def write_and_punch() -> None:
        file.write(MIB, os.urandom(MIB))
        file.punch(0, 4 * MIB)

    assert file.freed_by(write_and_punch, grown=MIB) == MIB


@on("xfs with reflink", "btrfs", of=CLONING)
@served_by_server
@pytest.mark.parametrize("at_once", [True, False], ids=["one punch", "two punches"])
def test_an_extent_in_two_places_of_one_file_is_freed_with_the_last(
    punched: Callable[..., Punched], at_once: bool
) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(4 * MIB))
    os.fsync(file.fd)
    with file.host_file.open("r+b") as host_file:
        place = struct.pack("qQQQ", host_file.fileno(), 0, 4 * MIB, 4 * MIB)
        fcntl.ioctl(host_file, 0x4020940D, place)  # FICLONERANGE
        os.fsync(host_file.fileno())
    if at_once:
        assert file.freed_by(lambda: file.punch(0, 8 * MIB)) == 4 * MIB
    else:
        assert file.freed_by(lambda: file.punch(0, 4 * MIB)) == 0
        assert file.freed_by(lambda: file.punch(4 * MIB, 4 * MIB)) == 4 * MIB


@on("btrfs compressed", of=("btrfs", "btrfs nodatacow"))
@served_by_server
def test_a_punch_of_an_extent_shared_with_a_snapshot_frees_nothing(
    host: HostFileSystem, make_store: MakeStore
) -> None:
    volume = host.root / "volume"
    subprocess.run(["btrfs", "-q", "subvolume", "create", volume], check=True, timeout=DEADLINE)
    store = make_store(directory=volume)
    file = Punched(host, store, "file", map_room=False)
    try:
        file.write(0, os.urandom(8 * MIB))
        os.fsync(file.fd)
        snapshot = ["btrfs", "-q", "subvolume", "snapshot", volume, host.root / "snapshot"]
        subprocess.run(snapshot, check=True, timeout=DEADLINE)
        assert file.freed_by(lambda: file.punch(0, 4 * MIB)) == 0
        file.write(0, os.urandom(MIB))
        os.fsync(file.fd)
        assert file.freed_by(lambda: file.punch(0, 4 * MIB)) == MIB
    finally:
        os.close(file.fd)
        store.tear_down()
