"""These functions read the kernel's view of a block device: size, discard limits, traffic and claims."""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


def is_claimed(device: Path) -> bool:
    """Return whether *device* is mounted or opened exclusively; plain opens are not detected."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        if error.errno not in (errno.ENOENT, errno.ENXIO):  # ENXIO: a detach is in progress
            raise
    return False


def size(device: Path) -> int:
    """Return the device's size in bytes."""
    return int(sysfs(device, "size")) * 512


@dataclass(frozen=True, slots=True)
class DiscardLimits:
    """A `DiscardLimits` has a queue's limits in bytes; ``max_bytes`` is 0 if discards are not supported.

    They come from the queue's folder in sysfs.
    """

    granularity: int
    max_bytes: int


def discard_limits(device: Path) -> DiscardLimits:
    """Return the discard limits of *device*, which the driver set when the file was attached."""
    return DiscardLimits(
        granularity=int(sysfs(device, "queue/discard_granularity")),
        max_bytes=int(sysfs(device, "queue/discard_max_bytes")),
    )


@dataclass(frozen=True, slots=True)
class Traffic:
    """A `Traffic` counts a device's requests and bytes since its creation (Documentation/block/stat.rst)."""

    writes: int
    written_bytes: int
    discards: int
    discarded_bytes: int


def traffic(device: Path) -> Traffic:
    """Return the kernel's counters of *device*; a new attachment does not reset them."""
    return traffic_in(_folder(device))


def traffic_in(folder: Path) -> Traffic:
    """Return the kernel's counters of the device or partition with this *folder* in sysfs."""
    fields = [int(field) for field in (folder / "stat").read_text().split()]
    return Traffic(fields[4], fields[6] * 512, fields[11], fields[13] * 512)


def node_of(number: str) -> Path:
    """Return the node of the device *number*, ``major:minor``; FileNotFoundError without such a device.

    The name is that of the kernel; a node in /dev/mapper has another, and the same number.
    """
    lines = (Path("/sys/dev/block") / number / "uevent").read_text().splitlines()
    return Path("/dev") / next(line.removeprefix("DEVNAME=") for line in lines if line.startswith("DEVNAME="))


def sysfs(device: Path, name: str) -> str:
    """Return the text of file *name* in the device's folder in sysfs; FileNotFoundError without one.

    A partition has the queue of its disk.
    """
    folder = _folder(device)
    if name.startswith("queue/") and (folder / "partition").exists():
        folder = folder.resolve().parent
    return (folder / name).read_text().strip()


def _folder(device: Path) -> Path:
    """Return the folder of the device; a node with another name than the kernel's is found by its number."""
    folder = Path("/sys/class/block") / device.name
    if not folder.exists():
        with suppress(OSError):
            number = device.stat().st_rdev
            return Path("/sys/dev/block") / f"{os.major(number)}:{os.minor(number)}"
    return folder
