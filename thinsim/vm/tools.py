"""Booting a guest needs two programs, virtme-ng and qemu, which these functions find."""

import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from thinsim.errors import EnvironmentLacksError
from thinsim.machine.programs import find_program

_ARCHITECTURE = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine(), platform.machine())
QEMU = f"qemu-system-{_ARCHITECTURE}"
QEMU_PACKAGE = {"x86_64": "qemu-system-x86", "aarch64": "qemu-system-arm"}.get(_ARCHITECTURE, "qemu-system")
INSTALL = "make setup-vm, or pip install virtme-ng in thinsim's environment"
LEAST_VIRTME = (1, 33)


def virtme_ng() -> Path:
    """Return the path of virtme-ng's command, from this Python's environment or from PATH.

    Raises EnvironmentLacksError if there is none.
    """
    own = Path(sys.executable).parent / "vng"
    if own.exists():
        return own
    found = find_program("vng")
    if found is None:
        raise EnvironmentLacksError(f"virtme-ng is not installed ({INSTALL})")
    return Path(found)


def virtme_version(command: Path) -> str:
    """Return the version of virtme-ng's *command*, or an empty string if it is unknown."""
    if command.parent == Path(sys.executable).parent:
        try:
            return version("virtme-ng")
        except PackageNotFoundError:
            pass
    try:
        done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found[0] if found else ""


def is_recent(virtme: str) -> bool:
    """Return whether the version *virtme* of virtme-ng has the options that thinsim uses."""
    return tuple(int(part) for part in virtme.split(".")[:2] if part.isdigit()) >= LEAST_VIRTME
