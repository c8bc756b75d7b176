"""Remove what a run that died left in the kernel's device-mapper: a pool, and what is named after it."""

import errno
import subprocess
from collections.abc import Callable
from typing import Any

from thinsim.dm.standing.places import kernel_has_device_mapper, real_dmsetup
from thinsim.errors import DeviceMapperError

_SECONDS = 10


def remove_recorded(fields: dict[str, Any], report: Callable[[str], None]) -> None:
    """Undo a MAPPED entry. DeviceMapperError EBUSY while something uses a device.

    A pool's name is its run's own, so that names alone tell what is ours.
    """
    if not kernel_has_device_mapper():
        return
    pool = fields["pool"]
    for name in sorted(_devices_of(pool), key=lambda each: each == pool):
        report(f"removing /dev/mapper/{name}")
        # What waits for a suspended device keeps it in use.
        _dmsetup("resume", name)
        _dmsetup("remove", "--retry", name)
    left = _devices_of(pool)
    if left:
        raise DeviceMapperError(errno.EBUSY, f"cannot remove {', '.join(left)}")


def _devices_of(pool: str) -> list[str]:
    listed = _dmsetup("info", "--columns", "--noheadings", "-o", "name").splitlines()
    return [name for name in listed if name == pool or name.startswith(f"{pool}-")]


def _dmsetup(*words: str) -> str:
    try:
        done = subprocess.run(
            [str(real_dmsetup()), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            start_new_session=True,  # Ctrl-C at the terminal must not reach it
        )
    except subprocess.TimeoutExpired:
        raise DeviceMapperError(errno.EBUSY, f"dmsetup {' '.join(words)} does not end") from None
    return done.stdout
