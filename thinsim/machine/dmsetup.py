"""`real_dmsetup` finds the machine's own dmsetup; `kernel_has_device_mapper` checks the kernel."""

import shutil
from pathlib import Path

from thinsim.errors import EnvironmentLacksError
from thinsim.machine.programs import SYSTEM_PLACES


def real_dmsetup(programs: Path | None = None) -> Path:
    """Return the path of the machine's own dmsetup; the drop-in in the directory *programs* does not count.

    Raises EnvironmentLacksError if dmsetup is not installed.
    """
    for directory in SYSTEM_PLACES:
        found = shutil.which("dmsetup", path=directory)
        if found is not None and Path(found).parent != programs:
            return Path(found)
    raise EnvironmentLacksError("dmsetup is not installed: apt-get install dmsetup")


def kernel_has_device_mapper() -> bool:
    """Return whether this kernel has a device-mapper (drivers/md/dm-ioctl.c, _dm_misc)."""
    return any(line.split()[1:] == ["device-mapper"] for line in Path("/proc/misc").read_text().splitlines())
