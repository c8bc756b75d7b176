"""Finds the machine's own dmsetup, and whether its kernel has a device-mapper."""

import shutil
from pathlib import Path

from thinsim.errors import EnvironmentLacksError


def real_dmsetup(programs: Path | None = None) -> Path:
    """Return the machine's own dmsetup, past the drop-in in *programs*."""
    for directory in ("/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"):
        found = shutil.which("dmsetup", path=directory)
        if found is not None and Path(found).parent != programs:
            return Path(found)
    raise EnvironmentLacksError("dmsetup is not installed: apt-get install dmsetup")


def kernel_has_device_mapper() -> bool:
    """Tell whether this kernel has a device-mapper of its own (drivers/md/dm-ioctl.c, _dm_misc)."""
    return any(line.split()[1:] == ["device-mapper"] for line in Path("/proc/misc").read_text().splitlines())
