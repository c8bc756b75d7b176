"""`CONTENDERS` lists block devices that provision their blocks: the emulated thin device and its peers.

Each contender keeps its blocks in a sparse file on the same host file system. `PLAIN` is a loop device on
that file alone, which all others are compared with.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.backing_contenders import programs, server, sparse, two_directories, wait
from thinsim.block import loop

PLAIN = "plain loop"
THIN = "thin device"
BY_PYTHON = "thin device, Python alone"
QCOW2 = "qcow2 over FUSE"


@dataclass(frozen=True, slots=True)
class DeviceContender:
    """A `DeviceContender` has a name, a check for its programs, and a function that yields its device."""

    name: str
    lacks: Callable[[], str | None]
    offer: Callable[[Path, int], Iterator[Path]]

    def device(self, directory: Path, size: int) -> AbstractContextManager[Path]:
        """Set up a device of *size* bytes with files in *directory*."""
        return contextmanager(self.offer)(directory, size)


@contextmanager
def _loop(file: Path, *, direct_io: bool) -> Iterator[Path]:
    device = loop.attach(file, direct_io=direct_io)
    try:
        yield device.path
    finally:
        loop.detach(device)
        wait(lambda: not loop.is_attached(device), f"the end of {device.path}")


def _plain(directory: Path, size: int) -> Iterator[Path]:
    with _loop(sparse(directory / "disk", size), direct_io=False) as device:
        yield device


def _thin(plane: str) -> Callable[[Path, int], Iterator[Path]]:
    def offer(directory: Path, size: int) -> Iterator[Path]:
        environment = {**os.environ, "THINSIM_PLANE": plane, "THINSIM_STATE_DIR": str(directory / "state")}
        command = [sys.executable, "-m", "benchmarks.thin_device", str(directory), str(size)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                device = process.stdout.readline().strip()
                if not device:
                    raise RuntimeError("the thin device did not appear")
                yield Path(device)
            finally:
                process.stdin.close()
                process.wait()

    return offer


def _qcow2(directory: Path, size: int) -> Iterator[Path]:
    files, _ = two_directories(directory)
    disk = files / "disk.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=64k", str(disk), str(size)],
        check=True,
    )
    mountpoint = sparse(directory / "export", 0)
    command = [
        "qemu-storage-daemon",
        "--blockdev",
        f"driver=file,node-name=file,filename={disk},discard=unmap",
        "--blockdev",
        "driver=qcow2,node-name=disk,file=file,discard=unmap",
        "--export",
        f"type=fuse,id=export,node-name=disk,mountpoint={mountpoint},writable=on",
    ]
    with server(command, mountpoint), _loop(mountpoint, direct_io=True) as device:
        yield device


def _no_qemu() -> str | None:
    return programs("qemu-storage-daemon", "qemu-img")() if shutil.which("fio") else "fio not installed"


CONTENDERS = (
    DeviceContender(PLAIN, lambda: None, _plain),
    DeviceContender(THIN, lambda: None, _thin("on")),
    DeviceContender(BY_PYTHON, lambda: None, _thin("off")),
    DeviceContender(QCOW2, _no_qemu, _qcow2),
)
