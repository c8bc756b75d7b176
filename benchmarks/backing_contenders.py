"""`CONTENDERS` lists the stores below a loop device: a plain file, the backing store both ways, its peers.

Every contender keeps one sparse file in a directory on the same host file system, and offers a path for a
loop device. Each contender is set up again for each round.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.libfuse_peers import libfuse_peer, missing_peer
from fuse_backing.mounts import mount_on, unmount
from thinsim.block import loop

PLAIN = "plain file"
PASSTHROUGH = "fuse-backing, passthrough"
SERVED = "fuse-backing, served"

_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class StoreContender:
    """A `StoreContender` has a name, a check for its programs, and a function that sets up its file."""

    name: str
    lacks: Callable[[], str | None]
    offer: Callable[[Path, int], Iterator[Path]]

    @contextmanager
    def device(self, directory: Path, size: int) -> Iterator[Path]:
        """Set the store up in *directory* with a file of *size* bytes; yield the loop device on that file."""
        with contextmanager(self.offer)(directory, size) as file:
            device = loop.attach(file)
            try:
                yield device.path
            finally:
                loop.detach(device)
                wait(lambda: device.path.name not in _attached(), f"the end of {device.path}")


def _attached() -> set[str]:
    return {Path(device).name for device in loop.attached_devices()}


def sparse(path: Path, size: int) -> Path:
    """Make a file of *size* bytes without any block."""
    with path.open("xb") as file:
        file.truncate(size)
    return path


def _plain(directory: Path, size: int) -> Iterator[Path]:
    yield sparse(directory / "disk", size)


def backing_store(passthrough: str) -> Callable[[Path, int], Iterator[Path]]:
    """Return a function that yields a file on a backing store, with or without *passthrough*."""

    def offer(directory: Path, size: int) -> Iterator[Path]:
        files, mountpoint = two_directories(directory)
        with mounted_store(directory, files, mountpoint, "--passthrough", passthrough):
            yield sparse(mountpoint / "disk", size)

    return offer


@contextmanager
def mounted_store(directory: Path, files: Path, mountpoint: Path, *options: str) -> Iterator[None]:
    """Serve *files* on *mountpoint* by a backing store, whose socket and log are in *directory*."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "fuse_backing", "mount", str(files), str(mountpoint), "--foreground"]
    words = [*options, "--control", str(directory / "control"), "--ready-fd", str(write_end)]
    with os.fdopen(read_end) as ready, _process([*command, *words], directory / "log", write_end):
        os.close(write_end)
        if not ready.readline():
            raise RuntimeError(f"the store did not start: {(directory / 'log').read_text().strip()}")
        yield


def _passthrough_ll(directory: Path, size: int) -> Iterator[Path]:
    files, mountpoint = two_directories(directory)
    program = str(libfuse_peer("passthrough_ll"))
    with server([program, "-f", "-o", f"source={files}", str(mountpoint)], mountpoint):
        yield sparse(mountpoint / "disk", size)


def nbdfuse(directory: Path, size: int, *, own_session: bool = False) -> Iterator[Path]:
    """Yield a file that nbdfuse serves from nbdkit, which keeps it in a sparse file in *directory*."""
    files, mountpoint = two_directories(directory)
    disk = sparse(files / "disk", size)
    command = ["nbdfuse", str(mountpoint / "disk"), "[", "nbdkit", "file", str(disk), "]"]
    with server(command, mountpoint, own_session=own_session):
        yield mountpoint / "disk"


def _storage_daemon(directory: Path, size: int) -> Iterator[Path]:
    files, _ = two_directories(directory)
    disk = sparse(files / "disk", size)
    mountpoint = sparse(directory / "export", 0)
    command = [
        "qemu-storage-daemon",
        "--blockdev",
        f"driver=file,node-name=disk,filename={disk},discard=unmap",
        "--export",
        f"type=fuse,id=export,node-name=disk,mountpoint={mountpoint},writable=on",
    ]
    with server(command, mountpoint):
        yield mountpoint


def two_directories(directory: Path) -> tuple[Path, Path]:
    """Make a directory for files and a mount point."""
    made = directory / "files", directory / "mnt"
    for each in made:
        each.mkdir()
    return made


@contextmanager
def server(command: list[str], mountpoint: Path, *, own_session: bool = False) -> Iterator[None]:
    """Run a FUSE server that prints nothing when it is ready; it must mount on *mountpoint*.

    With *own_session* it gets a share of the processors of its own, as thinsim's servers do.
    """
    log = mountpoint.parent / "log"
    try:
        with _process(command, log, own_session=own_session) as process:
            wait(lambda: mount_on(mountpoint) is not None or process.poll() is not None, " ".join(command))
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended at once: {log.read_text().strip()}")
            yield
    finally:  # some servers end with their mount, others unmount at their end
        if mount_on(mountpoint) is not None:
            unmount(mountpoint)


@contextmanager
def _process(
    command: list[str], log: Path, *descriptors: int, own_session: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in the foreground until the block is left.

    By default it runs in this session: the scheduler gives each session its share (sched(7), autogroup). It
    has a process group of its own, so that a terminal's Ctrl-C does not end it before its device is detached.
    """
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            pass_fds=descriptors,
            process_group=None if own_session else 0,
            start_new_session=own_session,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait(until: Callable[[], bool], what: str) -> None:
    """Return when *until* returns True; RuntimeError if *what* takes too long."""
    patience = time.monotonic() + _PATIENCE
    while not until():
        if time.monotonic() > patience:
            raise RuntimeError(f"timed out after {_PATIENCE:.0f} s: {what}")
        time.sleep(0.02)


def programs(*names: str) -> Callable[[], str | None]:
    """Return a check that names the missing programs."""

    def lacks() -> str | None:
        missing = [name for name in names if shutil.which(name) is None]
        return f"{', '.join(missing)} not installed" if missing else None

    return lacks


CONTENDERS = (
    StoreContender(PLAIN, lambda: None, _plain),
    StoreContender(PASSTHROUGH, lambda: None, backing_store("on")),
    StoreContender(SERVED, lambda: None, backing_store("off")),
    StoreContender("libfuse passthrough_ll", lambda: missing_peer("passthrough_ll"), _passthrough_ll),
    StoreContender("nbdkit + nbdfuse", programs("nbdkit", "nbdfuse"), nbdfuse),
    StoreContender("qemu-storage-daemon", programs("qemu-storage-daemon"), _storage_daemon),
)
