"""``measure`` mounts a store on each kind of host file system, and records what holds there."""

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from fuse_backing.allocation import mapped_extents
from fuse_backing.events import LedgerEvent, Totals
from fuse_backing.faults import Operation
from fuse_backing.store_client import StoreClient
from fuse_backing.system_calls import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    fallocate,
)
from tests.host_file_systems import KINDS, MIB, HostFileSystem, host_file_system, missing_for

BLOCK = 4096
SIZE = 32 * MIB
_PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
_FICLONE = 0x40049409
_COMMAND = (sys.executable, "-m", "fuse_backing")
_PATIENCE = 30
_ROOM = 40
"""Blocks written first, far behind the data, so that the file's map later needs no further ones."""


def measure(kinds: Sequence[str] = tuple(KINDS)) -> Iterator[dict[str, object]]:
    """Yield what holds on a new file system of each kind; *missing* gives the reason if it cannot be made."""
    for kind in kinds:
        missing = missing_for(kind)
        if missing is not None:
            yield {"host": kind, "missing": missing}
            continue
        with (
            TemporaryDirectory(prefix="thinsim-hosts-", dir="/var/tmp") as name,
            host_file_system(kind, Path(name)) as host,
        ):
            yield {"host": kind, **_measured(host, Path(name))}


def _measured(host: HostFileSystem, base: Path) -> dict[str, object]:
    mountpoint, control = base / "mnt", base / "control"
    mountpoint.mkdir()
    printed, refused = _mount(host.directory, mountpoint, control)
    if refused:
        refused = refused.replace(str(host.directory), "DIRECTORY")
        printed, error = _mount(host.directory, mountpoint, control, "--allow-estimate")
        if error:
            return {"refused": refused}
    try:
        store = _HostOnTrial(host, mountpoint, control)
        found = store.measured()
        if refused:
            found["refused"] = refused
        found["printed"] = [line.replace(str(mountpoint), "MOUNTPOINT") for line in printed[1:]]
        return found
    finally:
        subprocess.run(
            [*_COMMAND, "unmount", mountpoint, "--control", control], check=True, capture_output=True
        )


def _mount(directory: Path, mountpoint: Path, control: Path, *options: str) -> tuple[list[str], str]:
    """Mount a store; return the lines that the command has printed, and its error."""
    done = subprocess.run(
        [*_COMMAND, "mount", directory, mountpoint, "--control", control, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines(), done.stderr.strip().removeprefix("Error: ")


class _HostOnTrial:
    """A `_HostOnTrial` is a mounted store, in which files are written and punched."""

    def __init__(self, host: HostFileSystem, mountpoint: Path, control: Path) -> None:
        self._host = host
        self._mountpoint = mountpoint
        self._client = StoreClient(control)

    def measured(self) -> dict[str, object]:
        """Return everything that is measured on the host."""
        info = trio.run(self._client.ping)
        both = (self._host.directory, self._mountpoint)
        with self._file("file") as fd:
            punches = self._punches(fd)
            moves = self._overwrites_move(fd)
            natively = self._punches_natively(fd)
        return {
            "unit": info.host_unit,
            "exact": info.freed_is_measured,
            "passthrough": info.passthrough or info.passthrough_reason,
            "handles": info.file_handles,
            "punches": punches,
            "overwrites_move": moves,
            "natively": natively,
            "release": self._release(),
            "allocate": _outcome(lambda: self._changed("allocated", 0)),
            "zero": _outcome(lambda: self._changed("zeroed", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)),
            "clone": [_outcome(partial(_clone, at)) for at in both],
            "tmpfile": [_outcome(partial(_unnamed, at)) for at in both],
            "copy": self._copied(),
        }

    @contextmanager
    def _file(self, name: str) -> Iterator[int]:
        """Open a new file whose map has room already."""
        fd = os.open(self._mountpoint / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            for number in range(_ROOM):
                os.pwrite(fd, b"r" * BLOCK, 256 * MIB + 2 * number * MIB)
            os.fsync(fd)
            yield fd
        finally:
            os.close(fd)

    def _totals(self) -> Totals:
        return trio.run(self._client.totals)

    def _punches(self, fd: int) -> list[tuple[int, int]]:
        """Punch half of the MiB, half of the blocks of one, and the rest; return ledger and host of each."""
        _write(fd, 0, os.urandom(SIZE))
        steps = (
            [(at, MIB) for at in range(MIB, SIZE, 2 * MIB)],
            [(at, BLOCK) for at in range(2 * MIB, 3 * MIB, 2 * BLOCK)],
            [(at, MIB) for at in range(0, SIZE, 2 * MIB)],
        )
        found = []
        for ranges in steps:
            used, freed = self._host.used(), self._totals().freed
            for offset, length in ranges:
                fallocate(fd, _PUNCH, offset, length)
            found.append((self._totals().freed - freed, used - self._host.used()))
        return found

    def _overwrites_move(self, fd: int) -> bool:
        """Return whether the host writes a block that is overwritten to another place."""
        places = []
        with (self._host.directory / "file").open("rb") as on_host:
            for _ in range(2):
                _write(fd, 0, os.urandom(MIB))
                places.append([each.physical for each in mapped_extents(on_host.fileno(), 0, MIB)])
        return places[0] != places[1]

    def _punches_natively(self, fd: int) -> bool:
        """Return whether the server's C code serves a punch."""
        before = trio.run(self._client.counters)["served_natively"]
        fallocate(fd, _PUNCH, 0, BLOCK)
        return trio.run(self._client.counters)["served_natively"] > before

    def _release(self) -> tuple[int, int]:
        """Remove a file of 4 MiB; return what the ledger and the host show as freed."""
        path = self._mountpoint / "removed"
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        _write(fd, 0, os.urandom(4 * MIB))
        os.close(fd)
        used, freed = self._host.used(), self._totals().freed
        path.unlink()
        trio.run(self._released)
        return self._totals().freed - freed, used - self._host.used()

    async def _released(self) -> None:
        """Wait for a release: the kernel forgets a file some time after its removal."""
        with trio.move_on_after(_PATIENCE):
            async with aclosing(self._client.follow()) as items:
                async for item in items:
                    if isinstance(item, LedgerEvent) and item.operation is Operation.RELEASE:
                        return

    def _changed(self, name: str, mode: int) -> None:
        with self._file(name) as fd:
            fallocate(fd, mode, 0, MIB)

    def _copied(self) -> str:
        """Copy 4 MiB by copy_file_range(2) on the store; return whether the host shares or copies them."""
        with self._file("source") as source, self._file("target") as target:
            _write(source, 0, os.urandom(4 * MIB))
            used, done = self._host.used(), 0
            while done < 4 * MIB:
                done += os.copy_file_range(source, target, 4 * MIB - done, done, done)
            os.fsync(target)
            return "shared" if self._host.used() - used < MIB else "copied"


def _write(fd: int, offset: int, data: bytes) -> None:
    view, done = memoryview(data), 0
    while done < len(data):
        done += os.pwrite(fd, view[done:], offset + done)
    os.fsync(fd)


def _clone(directory: Path) -> None:
    with (directory / "cloned").open("w+b") as source:
        source.write(b"c" * MIB)
        source.flush()
        with (directory / "clone").open("wb") as clone:
            fcntl.ioctl(clone, _FICLONE, source.fileno())


def _unnamed(directory: Path) -> None:
    os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600))


def _outcome(act: Callable[[], object]) -> str:
    """Return the name of the errno with which *act* fails, or ``done``."""
    try:
        act()
    except OSError as error:
        # Python has two names for this number, and the kernel's pages use the other one.
        number = error.errno or errno.EIO
        return "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode[number]
    return "done"
