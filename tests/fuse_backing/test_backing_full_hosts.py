"""A store on a full host has the errors of a plain directory, and room again once it frees bytes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse_backing.backing_store import host_fallocate, names_in
from tests.fuse_backing.hosts import PUNCH, MakeStore, on
from tests.fuse_backing.tree_operations import OperatedDirectory
from tests.host_file_systems import MIB, HostFileSystem

pytestmark = pytest.mark.rig

BLOCK = 4096
without_uring = pytest.mark.parametrize("data_served_by", ["kernel", "server"], indirect=True)


def fill(directory: Path) -> None:
    """Write a file until the host has no block left."""
    with (directory / "filler").open("wb", buffering=0) as filler:
        end, step = 0, 512 * MIB
        while step >= BLOCK:
            if host_fallocate(filler.fileno(), 0, end, step):
                step //= 2
            else:
                end += step
        written = end
        try:
            while True:
                written += os.pwrite(filler.fileno(), b"f" * BLOCK, written)
        except OSError:
            os.fsync(filler.fileno())


def kept(path: Path) -> None:
    """Write a file of 4 MiB and make it durable."""
    with path.open("wb", buffering=0) as file:
        file.write(b"k" * 4 * MIB)
        os.fsync(file.fileno())


def write_all(path: bytes) -> str:
    """Write 8 MiB to a new file; return how that ended."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        offset = 0
        while offset < 8 * MIB:
            offset += os.pwrite(fd, b"w" * 64 * 1024, offset)
        os.fsync(fd)
    finally:
        os.close(fd)
    return "written"


def place(subject: OperatedDirectory, name: str) -> Path:
    return Path(os.fsdecode(subject.root)) / name


FullHostStep = Callable[[OperatedDirectory], object]
STEPS: dict[str, FullHostStep] = {
    "write": lambda subject: write_all(subject.at(b"written")),
    "allocate": lambda subject: host_fallocate(subject.fd(0), 0, 64 * MIB, 8 * MIB),
    "extend": lambda subject: os.ftruncate(subject.fd(0), 256 * MIB),
    "read": lambda subject: os.pread(subject.fd(0), BLOCK, MIB),
    "rename": lambda subject: place(subject, "kept").rename(place(subject, "moved")).name,
    "chmod": lambda subject: place(subject, "moved").chmod(0o640),
    "fsync": lambda subject: os.fsync(subject.fd(0)),
    "look": lambda subject: names_in(place(subject, ".")),
}


@on("ext4", "btrfs", of=("xfs with reflink", "tmpfs", "overlay on ext4"))
@without_uring
def test_a_full_host_has_the_same_errors_on_a_store_as_in_a_plain_directory(
    host: HostFileSystem, make_store: MakeStore, tmp_path: Path
) -> None:
    (host.directory / "served").mkdir()
    (host.directory / "plain").mkdir()
    store = make_store(directory=host.directory / "served")
    served, plain = OperatedDirectory(store.mountpoint), OperatedDirectory(host.directory / "plain")
    try:
        for subject in (served, plain):
            kept(place(subject, "kept"))
            subject.slots[0] = os.open(subject.at(b"kept"), os.O_RDWR)
        fill(host.directory)
        outcomes = {name: (plain.outcome(step), served.outcome(step)) for name, step in STEPS.items()}
        assert {name: found for name, (expected, found) in outcomes.items()} == {
            name: expected for name, (expected, found) in outcomes.items()
        }
        assert outcomes["write"][1] == "ENOSPC"
        assert store.file("moved").read_bytes()[: 4 * MIB] == b"k" * 4 * MIB

        # Room by a punch, by a truncation and by a removal is room for the next write, and is in the ledger.
        before = store.totals().freed
        assert host_fallocate(served.fd(0), PUNCH, 0, 2 * MIB) == 0
        os.fsync(served.fd(0))
        assert store.totals().freed - before == (0 if host.kind == "btrfs" else 2 * MIB)
        store.file("written").unlink(missing_ok=True)
        (host.directory / "filler").unlink()
        assert write_all(served.at(b"again")) == "written"
    finally:
        served.close_all()
        plain.close_all()
        store.tear_down()
    assert store.server.returncode == 0
    assert store.errors.read_bytes() == b""
    assert names_in(store.directory) == ["again", "moved"]


@on("ext4", of=("xfs with reflink", "btrfs"))
@without_uring
def test_names_on_a_full_host_are_made_or_refused_as_a_whole(
    host: HostFileSystem, make_store: MakeStore
) -> None:
    """A new name may still have room, or not; after an error nothing of it exists."""
    (host.directory / "served").mkdir()
    store = make_store(directory=host.directory / "served")
    try:
        store.file("d").mkdir()
        fill(host.directory)
        made, refused, errors = set(), set(), set()
        for number in range(600):
            name = f"d/{number}-{'x' * 200}"
            try:
                (store.file(name).mkdir if number % 2 else store.file(name).touch)()
            except OSError as error:
                errors.add(error.strerror)
                refused.add(Path(name).name)
            else:
                made.add(Path(name).name)
        assert set(names_in(store.host("d"))) == set(names_in(store.file("d"))) == made
        assert errors <= {"No space left on device"}
        (host.directory / "filler").unlink()
        for name in sorted(refused):
            store.file(f"d/{name}").touch()
        assert set(names_in(store.host("d"))) == made | refused
    finally:
        store.tear_down()
    assert store.server.returncode == 0
    assert store.errors.read_bytes() == b""
