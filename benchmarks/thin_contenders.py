"""`CONTENDERS` lists block devices that provision their blocks: the emulated thin device and its peers.

Each contender keeps its blocks in a sparse file on the same host file system. `PLAIN` is a loop device on
that file alone, which all others are compared with. All servers run in sessions of their own, as thinsim's
servers do: the scheduler gives each session its share (sched(7), autogroup).
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.backing_contenders import (
    backing_store,
    nbdfuse,
    programs,
    server,
    sparse,
    two_directories,
    wait,
)
from benchmarks.backing_rows import UnsupportedError
from benchmarks.qemu_monitor import QemuMonitor
from benchmarks.thin_pool import thin_pool
from fuse_backing.fuse_uring import SWITCH, FuseUring, lack
from thinsim.block import loop
from thinsim.machine.dmsetup import kernel_has_device_mapper

PLAIN = "plain loop"
THIN = "thin device"
NO_FILE = "thin device, no file below"
OVER_URING = "thin device, FUSE over io_uring"
NO_FILE_OVER_URING = "thin device, no file below, FUSE over io_uring"
BY_PYTHON = "thin device, Python alone"
KERNEL = "kernel dm-thin"
QCOW2 = "qcow2 over FUSE"
QCOW2_DIRECT = "qcow2 over FUSE, direct I/O"
NBDKIT = "nbdkit over FUSE"
BARE = "bare FUSE server"
NO_STORE = "thin device, no store"
BARE_ON_STORE = "bare FUSE server on the store"


_BARE_SERVER = Path(__file__).parent / "native" / "bare_server.c"
_BARE_THREADS = 4
"""The data plane has as many."""


@dataclass(frozen=True, slots=True)
class ProvisionedDevice:
    """A `ProvisionedDevice` is a block device at *path*."""

    path: Path
    snapshot: Callable[[], object] = lambda: None
    """Shares all blocks with a snapshot. UnsupportedError if the contender has none."""
    forget: Callable[[], object] = lambda: None
    """Deletes the snapshot."""
    servers: Callable[[], Sequence[int]] | None = None
    """Returns the process ids of the servers, none if the kernel alone serves the device; None: not known."""


@dataclass(frozen=True, slots=True)
class DeviceContender:
    """A `DeviceContender` has a name, a check for its programs, and a function that yields its device."""

    name: str
    lacks: Callable[[], str | None]
    offer: Callable[[Path, int], Iterator[ProvisionedDevice]]

    def device(self, directory: Path, size: int) -> AbstractContextManager[ProvisionedDevice]:
        """Set up a device of *size* bytes with files in *directory*."""
        return contextmanager(self.offer)(directory, size)


@contextmanager
def plain_loop(file: Path, *, direct_io: bool = False) -> Iterator[Path]:
    """Attach a loop device to *file*; detach it at the end.

    With *direct_io*, each request reaches the server of the file, without a page cache before it.
    """
    device = loop.attach(file, direct_io=direct_io)
    try:
        yield device.path
    finally:
        loop.detach(device)
        wait(lambda: not loop.is_attached(device), f"the end of {device.path}")


def _plain(directory: Path, size: int) -> Iterator[ProvisionedDevice]:
    """Yield a device whose snapshots do nothing: its rows of broken sharing are writes of its own blocks."""
    with plain_loop(sparse(directory / "disk", size)) as device:
        yield ProvisionedDevice(device, servers=tuple)


def _thin(
    *words: str, plane: str = "on", uring: FuseUring = FuseUring.OFF
) -> Callable[[Path, int], Iterator[ProvisionedDevice]]:
    def offer(directory: Path, size: int) -> Iterator[ProvisionedDevice]:
        with thin_pool(directory, size, *words, plane=plane, uring=uring) as pool:
            (path,) = pool.devices
            yield ProvisionedDevice(
                path,
                lambda: pool.ask("snapshot"),
                lambda: pool.ask("forget"),
                lambda: pool.ask("processes"),
            )

    return offer


def _qcow2(directory: Path, size: int, *, direct_io: bool = False) -> Iterator[ProvisionedDevice]:
    """Yield a device on a qcow2 file whose clusters are as large as the blocks of the thin devices.

    With *direct_io* the loop device sends many requests at once. It is faster then, but qemu 7.2 of Debian 12
    mixes up the data of such writes: blocks are displaced by 1 MiB.
    """
    files, _ = two_directories(directory)
    disk, monitor = files / "disk.qcow2", directory / "monitor"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=64k", str(disk), str(size)],
        check=True,
        process_group=0,
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
        *("--chardev", f"socket,id=monitor,path={monitor},server=on,wait=off", "--monitor", "monitor"),
    ]
    with (
        server(command, mountpoint, own_session=True),
        closing(QemuMonitor(monitor)) as qemu,
        plain_loop(mountpoint, direct_io=direct_io) as device,
    ):
        yield ProvisionedDevice(
            device,
            lambda: qemu.execute("blockdev-snapshot-internal-sync", device="disk", name="shared"),
            lambda: qemu.execute("blockdev-snapshot-delete-internal-sync", device="disk", name="shared"),
        )


def _nbdkit(directory: Path, size: int) -> Iterator[ProvisionedDevice]:
    """Yield a device on a file of nbdfuse. The kernel's own NBD client is a module that containers lack."""

    def refuse() -> None:
        raise UnsupportedError("nbdkit's file plugin has no snapshots")

    with (
        contextmanager(nbdfuse)(directory, size, own_session=True) as file,
        plain_loop(file, direct_io=True) as device,
    ):
        yield ProvisionedDevice(device, refuse)


def _bare(directory: Path, size: int) -> Iterator[ProvisionedDevice]:
    """Yield a device on the file of ``bare_server.c``, the least that a reader of /dev/fuse can do."""
    files, _ = two_directories(directory)
    with _bare_device(directory, sparse(files / "disk", size)) as device:
        yield device


def _bare_on_store(directory: Path, size: int) -> Iterator[ProvisionedDevice]:
    """Yield a device on the bare server, whose file is on a backing store, as that of the thin device."""
    store = contextmanager(backing_store("on"))
    with store(directory, size) as file, _bare_device(directory, file) as device:
        yield device


@contextmanager
def _bare_device(directory: Path, file: Path) -> Iterator[ProvisionedDevice]:
    def refuse() -> None:
        raise UnsupportedError("the bare server has no snapshots")

    program, mountpoint = directory / "bare_server", sparse(directory / "served", 0)
    command = ["cc", "-O2", "-std=gnu11", "-D_GNU_SOURCE", "-o", str(program), str(_BARE_SERVER), "-lpthread"]
    subprocess.run(command, check=True, process_group=0)
    serve = [str(program), str(file), str(mountpoint), str(_BARE_THREADS)]
    with server(serve, mountpoint, own_session=True), plain_loop(mountpoint, direct_io=True) as device:
        yield ProvisionedDevice(device, refuse)


def _no_uring() -> str | None:
    """Return the reason why the kernel cannot offer FUSE over io_uring, even while its switch is on."""
    lacking = lack()
    return None if lacking is None or os.access(SWITCH, os.W_OK) else str(lacking)


def _no_device_mapper() -> str | None:
    return None if kernel_has_device_mapper() else "this kernel has no device-mapper (--guest has one)"


CONTENDERS = (
    DeviceContender(PLAIN, lambda: None, _plain),
    DeviceContender(THIN, lambda: None, _thin()),
    DeviceContender(NO_FILE, lambda: None, _thin("--no-file-below")),
    DeviceContender(OVER_URING, _no_uring, _thin(uring=FuseUring.ENABLE)),
    DeviceContender(NO_FILE_OVER_URING, _no_uring, _thin("--no-file-below", uring=FuseUring.ENABLE)),
    DeviceContender(KERNEL, _no_device_mapper, _thin("--kernel")),
    DeviceContender(QCOW2, programs("qemu-storage-daemon", "qemu-img"), _qcow2),
    DeviceContender(
        QCOW2_DIRECT, programs("qemu-storage-daemon", "qemu-img"), partial(_qcow2, direct_io=True)
    ),
    DeviceContender(NBDKIT, programs("nbdkit", "nbdfuse"), _nbdkit),
    DeviceContender(NO_STORE, lambda: None, _thin("--no-store")),
    DeviceContender(BARE, programs("cc"), _bare),
    DeviceContender(BARE_ON_STORE, programs("cc"), _bare_on_store),
)
PYTHON_ALONE = DeviceContender(BY_PYTHON, lambda: None, _thin(plane="off"))
"""The emulated thin device without its plane, which is too slow to be measured each time."""
