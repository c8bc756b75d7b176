"""Reads what the kernel tells of any block device: size, discard limits, traffic, whether it is claimed."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path


def is_claimed(device: Path) -> bool:
    """Tell whether *device* is mounted or opened exclusively; plain opens are not seen."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        if error.errno not in (errno.ENOENT, errno.ENXIO):  # ENXIO: it is just being detached
            raise
    return False


def size(device: Path) -> int:
    """Return the device's size in bytes."""
    return int(sysfs(device, "size")) * 512


@dataclass(frozen=True, slots=True)
class DiscardLimits:
    """Bytes, from the queue's sysfs folder; ``max_bytes`` 0 means that discards are not supported."""

    granularity: int
    max_bytes: int


def discard_limits(device: Path) -> DiscardLimits:
    """Return the discard limits that were fixed when the file was attached."""
    return DiscardLimits(
        granularity=int(sysfs(device, "queue/discard_granularity")),
        max_bytes=int(sysfs(device, "queue/discard_max_bytes")),
    )


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed through a device since it exists, in requests and bytes (Documentation/block/stat.rst)."""

    writes: int
    written_bytes: int
    discards: int
    discarded_bytes: int


def traffic(device: Path) -> Traffic:
    """Return the kernel's own counters of *device*; attaching again does not reset them."""
    fields = [int(field) for field in sysfs(device, "stat").split()]
    return Traffic(fields[4], fields[6] * 512, fields[11], fields[13] * 512)


def sysfs(device: Path, name: str) -> str:
    """Return what a file in the device's folder below /sys/block says; FileNotFoundError without one."""
    return (Path("/sys/block") / device.name / name).read_text().strip()
