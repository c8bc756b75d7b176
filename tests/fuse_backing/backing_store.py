"""`Store` is a mounted store for tests, served by a child process."""

import ctypes
import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import trio

from fuse_backing import mounts
from fuse_backing.allocation import allocated_bytes
from fuse_backing.events import LedgerEvent, Totals
from fuse_backing.faults import FaultPlan, Operation
from fuse_backing.store_client import StoreClient
from tests.repository import REPOSITORY

COMMAND = [sys.executable, "-m", "fuse_backing"]
DEADLINE = 30


def missing_for_mounts() -> str | None:
    if os.geteuid() != 0:
        return "needs root to mount"
    if not Path("/dev/fuse").exists():
        return "needs /dev/fuse"
    try:
        import fuse_backing.session  # noqa: F401
    except ImportError as error:
        return str(error)
    return None


@functools.cache
def missing_for_passthrough() -> str | None:
    with tempfile.TemporaryDirectory(prefix="passthrough-") as name:
        base = Path(name)
        (base / "dir").mkdir()
        (base / "mnt").mkdir()
        store = Store(base / "dir", base / "mnt", base / "control", base / "errors", "auto")
        store.start()
        try:
            info = trio.run(StoreClient(store.control).ping)
        finally:
            store.tear_down()
    return None if info.passthrough else f"needs passthrough: {info.passthrough_reason}"


def missing_for_loop_devices() -> str | None:
    if not Path("/dev/loop-control").exists():
        return "needs /dev/loop-control"
    for tool in ("losetup", "blkdiscard"):
        if shutil.which(tool) is None:
            return f"needs {tool} (util-linux)"
    return None


def run_command(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=check,
        cwd=REPOSITORY,
    )


@dataclass
class Store:
    """A `Store` is mounted by a child process, so that the test sees the server's end."""

    directory: Path
    mountpoint: Path
    control: Path
    errors: Path
    passthrough: str = "auto"
    options: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    """Options of prlimit(1) for the server."""
    server: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        read_end, write_end = os.pipe()
        with self.errors.open("wb") as errors, os.fdopen(read_end) as ready:
            self.server = subprocess.Popen(
                [
                    *(("prlimit", *self.limits) if self.limits else ()),
                    *(*COMMAND, "mount", str(self.directory), str(self.mountpoint), "--foreground"),
                    *("--control", str(self.control), "--ready-fd", str(write_end)),
                    *("--passthrough", self.passthrough, *self.options),
                ],
                stderr=errors,
                pass_fds=(write_end,),
                cwd=REPOSITORY,
            )
            os.close(write_end)
            line = ready.readline()
        assert line, self.errors.read_text()
        assert json.loads(line) == {"pid": self.server.pid, "control": str(self.control)}

    def host(self, name: str) -> Path:
        return self.directory / name

    def file(self, name: str) -> Path:
        return self.mountpoint / name

    def totals(self) -> Totals:
        return trio.run(StoreClient(self.control).totals)

    def events(self) -> list[LedgerEvent]:
        return trio.run(StoreClient(self.control).events)

    def releases(self, count: int) -> list[LedgerEvent]:
        """Wait for *count* releases of removed files, and return them.

        The kernel forgets a file some time after its last use.
        """

        async def wait() -> list[LedgerEvent]:
            found: list[LedgerEvent] = []
            with trio.fail_after(DEADLINE):
                async with aclosing(StoreClient(self.control).follow()) as items:
                    async for item in items:
                        if isinstance(item, LedgerEvent) and item.operation is Operation.RELEASE:
                            found.append(item)
                            if len(found) == count:
                                break
            return found

        return trio.run(wait)

    def counters(self) -> dict[str, int]:
        return trio.run(StoreClient(self.control).counters)

    def by_offset_sum(self, file: str) -> int:
        """Return the freed bytes of a file, by the histogram by offset."""
        return sum(bucket.freed for bucket in trio.run(StoreClient(self.control).by_offset, file).buckets)

    def set_faults(self, *faults: dict[str, object]) -> None:
        """Replace the active plan; without *faults* remove all."""
        plan = FaultPlan.from_json(list(faults)) if faults else FaultPlan()
        trio.run(StoreClient(self.control).set_faults, plan)

    def allocated(self, name: str) -> int:
        """Return the bytes of a file that the host has allocated, read without the store."""
        with self.host(name).open("rb") as file:
            return allocated_bytes(file.fileno(), 0, (1 << 63) - 1)

    def memory(self) -> int:
        """Return the server's resident set in bytes."""
        return int(Path(f"/proc/{self.server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def tear_down(self) -> None:
        if self.server.poll() is None:
            self.server.terminate()
            try:
                self.server.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        if mounts.mount_on(self.mountpoint) is not None:
            mounts.unmount(self.mountpoint, lazy=True)


def names_in(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def failure(function: Callable[..., object], *arguments: object) -> int:
    """Return the errno with which the call fails, 0 for success."""
    try:
        function(*arguments)
    except OSError as error:
        return error.errno or 0
    return 0


def host_fallocate(fd: int, mode: int, offset: int, length: int) -> int:
    """Call fallocate(2) without the package under test; return its errno."""
    return 0 if _libc.fallocate(fd, mode, offset, length) == 0 else ctypes.get_errno()


def discard(device: Path, offset: int, length: int) -> None:
    """Discard a range of a block device, by BLKDISCARD (linux/fs.h)."""
    fd = os.open(device, os.O_RDWR)
    try:
        fcntl.ioctl(fd, 0x1277, offset.to_bytes(8, sys.byteorder) + length.to_bytes(8, sys.byteorder))
    finally:
        os.close(fd)
