"""`remove_recorded` removes a pool, its thin devices and its lower devices after the death of a run."""

import errno
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from thinsim.errors import DeviceMapperError
from thinsim.machine.dmsetup import kernel_has_device_mapper, real_dmsetup

_SECONDS = 10


def remove_recorded(fields: dict[str, Any], report: Callable[[str], None]) -> None:
    """Remove the devices of a MAPPED entry. Raises DeviceMapperError (EBUSY) while a device is in use."""
    if not kernel_has_device_mapper():
        return
    for name in devices_of_entry(fields, _uuids()):
        report(f"removing /dev/mapper/{name}")
        # A process that waits for a suspended device keeps it in use.
        _dmsetup("resume", name)
        _dmsetup("remove", "--retry", name)
    left = devices_of_entry(fields, _uuids())
    if left:
        raise DeviceMapperError(errno.EBUSY, f"cannot remove {', '.join(left)}")


def devices_of_entry(fields: Mapping[str, Any], uuids: Mapping[str, str]) -> list[str]:
    """Return the devices in *uuids* (UUIDs by name) that belong to an entry, in the order of removal.

    Each run has its own pool name, so names identify the run's devices. If the entry has a *uuid*, the UUIDs
    of the pool and of the devices below it must begin with it as well. Pure.
    """
    pool, below, uuid = fields["pool"], fields.get("below", ()), fields.get("uuid", "")
    ours = [name for name in (pool, *below) if uuids.get(name, "").startswith(uuid) and name in uuids]
    if uuid and pool not in ours:
        return ours  # a thin device cannot outlive its pool
    thins = sorted(name for name in uuids if name.startswith(f"{pool}-"))
    return [*thins, *ours]


def _uuids() -> dict[str, str]:
    output = _dmsetup("info", "--columns", "--noheadings", "--separator", "\t", "-o", "name,uuid")
    return dict(line.split("\t", 1) for line in output.splitlines() if "\t" in line)


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
        raise DeviceMapperError(
            errno.EBUSY, f"dmsetup {' '.join(words)} did not finish within {_SECONDS} s"
        ) from None
    return done.stdout
