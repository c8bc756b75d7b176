"""`find_program` finds the programs of the system, of which a user's PATH lacks some.

On Debian the PATH of a user has no /usr/sbin, where mkfs.ext4, dmsetup, blkdiscard and thin_check are. The
PATH of a root shell that ``su`` opens may lack it as well (su(1), login.defs(5)).
"""

import os
import shutil
from collections.abc import Mapping

from thinsim.machine.findings import Finding

SYSTEM_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")
"""Directories of programs that a user's PATH may lack."""


def find_program(name: str) -> str | None:
    """Return the path of a program, from PATH or from `SYSTEM_PLACES`; None if there is none."""
    return shutil.which(name, path=full_path(os.environ))


def full_path(environment: Mapping[str, str]) -> str:
    """Return PATH with `SYSTEM_PLACES` appended, so that other programs find the same as `find_program`."""
    present = [place for place in environment.get("PATH", os.defpath).split(":") if place]
    return ":".join([*present, *(place for place in SYSTEM_PLACES if place not in present)])


def complete_path() -> None:
    """Append `SYSTEM_PLACES` to the PATH of this process and of every program that it starts."""
    os.environ["PATH"] = full_path(os.environ)


def look_for(name: str, package: str, *, title: str = "") -> Finding:
    """Return whether the program *name* of *package* is here; *title* is the finding's name, if another.

    A program that only root may run needs root, not an installation.
    """
    path = find_program(name)
    if path is not None:
        return Finding(title or name, True, path)
    closed = shutil.which(name, os.F_OK, full_path(os.environ))
    if closed is not None and os.geteuid() != 0:
        return Finding(title or name, False, f"only root may run {closed}", "run with sudo")
    return Finding(title or name, False, "not installed", f"apt-get install {package}")
