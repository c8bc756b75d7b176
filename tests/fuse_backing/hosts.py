"""`on` and `ways` choose a test's kinds of host; `Punched` is a file whose punches are measured."""

import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.fuse_backing.backing_store import Store, host_fallocate
from tests.host_file_systems import KINDS, MIB, HostFileSystem

KEEP, PUNCH, ZERO = 1, 3, 17
BLOCK = 4096
NO_PREALLOCATION = ("overlay on tmpfs",)
NOT_EXACT = (
    "overlay on btrfs",
    "overlay on xfs with an extent size hint",
    "ext4 without extents",
    "ext4 without delayed allocation",
)
"""Kinds that a store refuses, or that have separate tests."""
SERVED = [kind for kind in KINDS if kind not in NOT_EXACT]
COPYING = ("btrfs", "btrfs compressed")
"""Kinds that write a block elsewhere when a part of it is zeroed."""

MakeStore = Callable[..., Store]


def on(*kinds: str, of: Iterable[str] = ()) -> pytest.MarkDecorator:
    """Run a test on these *kinds*, and in long runs on the others *of* a list."""
    others = [pytest.param(kind, marks=pytest.mark.long) for kind in of if kind not in kinds]
    return pytest.mark.parametrize("host", [*kinds, *others], indirect=True)


def ways(**kinds: tuple[str, ...]) -> pytest.MarkDecorator:
    """Run a test on all SERVED kinds, with data served either way; pairs not in *kinds* only in long runs."""
    every = [(kind, way) for way in kinds for kind in SERVED]
    marks = {pair: [] if pair[0] in kinds[pair[1]] else [pytest.mark.long] for pair in every}
    parameters = [pytest.param(*pair, marks=marks[pair], id="-".join(pair)) for pair in every]
    return pytest.mark.parametrize(("host", "data_served_by"), parameters, indirect=True)


served_by_server = pytest.mark.parametrize("data_served_by", ["server"], indirect=True)


class Punched:
    """A `Punched` is a file on the store; it compares the ledger's freed bytes with the host's space."""

    def __init__(self, host: HostFileSystem, store: Store, name: str, map_room: bool = True) -> None:
        self._host, self._store = host, store
        self.fd = os.open(store.file(name), os.O_RDWR | os.O_CREAT, 0o600)
        self.host_file = store.host(name)
        if map_room:  # so that the host needs no further blocks for the file's map itself
            for number in range(40):
                os.pwrite(self.fd, b"r" * BLOCK, 256 * MIB + 2 * number * MIB)
            os.fsync(self.fd)

    def write(self, offset: int, data: bytes) -> None:
        assert os.pwrite(self.fd, data, offset) == len(data)

    def punch(self, offset: int, length: int) -> None:
        assert host_fallocate(self.fd, PUNCH, offset, length) == 0

    def freed_by(self, act: Callable[[], object], grown: int = 0) -> int:
        """Do *act*, which makes the host allocate *grown* bytes; return the freed bytes of the ledger."""
        used, freed = self._host.used(), self._store.totals().freed
        act()
        freed = self._store.totals().freed - freed
        assert freed == used - self._host.used() + grown
        return freed


def make_clone(host: HostFileSystem, file: Path) -> None:
    """Make another file that shares all extents of *file*."""
    with (host.directory / "clone").open("wb") as clone, file.open("rb") as source:
        fcntl.ioctl(clone, 0x40049409, source.fileno())  # FICLONE
        os.fsync(clone.fileno())


def each(start: int, end: int, step: int, length: int) -> list[tuple[int, int]]:
    return [(offset, length) for offset in range(start, end, step)]
