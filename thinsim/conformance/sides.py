"""The two who are asked: the emulated dm-thin of this machine, and the kernel's where it has one."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fuse_backing.mounts import mounts
from thinsim.conformance.bench import Bench
from thinsim.dm.standing.dropin import write
from thinsim.dm.standing.places import kernel_has_device_mapper
from thinsim.errors import EnvironmentLacksError
from thinsim.rig.emulated_stack import CONTROL_DEVICE, start_device_mapper
from thinsim.rig.journal import Journal
from thinsim.rig.sockets import make_socket_directory

EMULATED = "emulated"

_TMPFS = ("/dev/shm", "/run", "/tmp")


def files_on_tmpfs() -> Path:
    """Return a directory on tmpfs for the files of a history; EnvironmentLacksError where there is none."""
    types = {str(mount.mountpoint): mount.fstype for mount in mounts()}
    for path in _TMPFS:
        if types.get(path) == "tmpfs":
            return Path(path)
    raise EnvironmentLacksError(f"none of {', '.join(_TMPFS)} is a tmpfs (mount -t tmpfs tmpfs /dev/shm)")


@asynccontextmanager
async def emulated_bench(directory: Path, journal: Journal) -> AsyncIterator[Bench]:
    """Start an emulated device-mapper of its own in *directory*, which exists, and give a bench on it."""
    async with AsyncExitStack() as stack:
        volumes = directory / "volumes"
        volumes.mkdir(mode=0o700)
        sockets, entry = make_socket_directory(journal)
        stack.callback(journal.end, entry)
        stack.callback(shutil.rmtree, sockets)
        await start_device_mapper(stack, volumes, sockets / "dm.sock", journal)
        programs = directory / "bin"
        programs.mkdir(mode=0o700)
        environment = {**os.environ, **write(programs, sockets / CONTROL_DEVICE)}
        yield Bench(directory, environment, journal, EMULATED)


def kernel_bench(directory: Path, journal: Journal) -> Bench:
    """Return a bench on this kernel's own dm-thin; EnvironmentLacksError where there is none."""
    if not kernel_has_device_mapper():
        raise EnvironmentLacksError(
            "this kernel has no device-mapper (modprobe dm-thin-pool); ask one in a guest: --on vm"
        )
    return Bench(directory, os.environ, journal, kernel_source(), kernel=True)


def kernel_source() -> str:
    """Return this kernel's release and the versions of its targets, as dmsetup tells them."""
    done = subprocess.run(["dmsetup", "targets"], capture_output=True, text=True, check=False)
    versions = dict(re.findall(r"^(\S+) +v(\S+)$", done.stdout, re.MULTILINE))
    return f"Linux {platform.release()}, thin-pool {versions.get('thin-pool', 'missing')}"
