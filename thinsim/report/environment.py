"""`environment` describes the machine of a run, on which the measurements may depend."""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fuse_backing.mounts import mounts
from thinsim import __version__
from thinsim.machine.programs import find_program
from thinsim.rig.host_file import freed_bytes

_PACKAGES = ("pyfuse3", "trio")
_TOOLS = {"mkfs.ext4": ("mkfs.ext4", "-V"), "blkdiscard": ("blkdiscard", "--version")}


DATA_PLANE = "data plane"
"""The name of the value for the server of requests to emulated thin devices."""


def environment(
    directory: Path | None, *, containerd: Mapping[str, str] | None = None, data_plane: str = ""
) -> dict[str, str]:
    """Return names and values, in the order for printing. *directory* is that of the run's files.

    *containerd* describes the builds of containerd that ran. *data_plane* is that of the rig.
    """
    return {
        "thinsim": __version__,
        "system": _system(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{_processor()}, {os.cpu_count()} in use",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 20} MiB",
        "python": sys.version.split()[0],
        **{package: _version(package) for package in _PACKAGES},
        **{tool: _tool(*command) for tool, command in _TOOLS.items()},
        **(containerd or {}),
        "file system": _file_system(directory or Path(tempfile.gettempdir())),
        "freed bytes": freed_bytes(directory or Path(tempfile.gettempdir())),
        **({DATA_PLANE: data_plane} if data_plane else {}),
    }


def data_plane_text(environment: Mapping[str, str]) -> list[str]:
    """Return the sentence about the data plane that a report prints, or none for a rig without one."""
    return [f"Data plane: {environment[DATA_PLANE]}."] if DATA_PLANE in environment else []


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _tool(*command: str) -> str:
    program = find_program(command[0])
    if program is None:
        return "not installed"
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return lines[0].removeprefix(command[0]).strip() if lines else "unknown"


def _file_system(directory: Path) -> str:
    real = directory.resolve()
    around = [mount for mount in mounts() if real.is_relative_to(mount.mountpoint)]
    innermost = max(around, key=lambda mount: len(mount.mountpoint.parts), default=None)
    return innermost.fstype if innermost is not None else "unknown"
