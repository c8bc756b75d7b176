"""`FuseUring` chooses whether a mount's requests go through FUSE over io_uring (Linux 6.14)."""

import errno
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

SWITCH = Path("/sys/module/fuse/parameters/enable_uring")
"""The kernel's own switch, a parameter of its module. It matters when a file system is being mounted."""
_NO_IO_URING = Path("/proc/sys/kernel/io_uring_disabled")


class FuseUring(StrEnum):
    """`FuseUring` chooses the way of a mount's requests."""

    OFF = "off"
    """``/dev/fuse``."""
    ON = "on"
    """io_uring where the kernel offers it, otherwise ``/dev/fuse``."""
    ENABLE = "enable"
    """The same, and the kernel's switch is on for the moment of the mount. Only root may do that."""


@dataclass(frozen=True, slots=True)
class Transport:
    """A `Transport` is the way of a mount's requests."""

    name: str
    """``/dev/fuse`` or ``io_uring``."""
    reason: str = ""
    """The reason why it is not io_uring although that was wanted, and what helps; otherwise empty."""


class Lack(NamedTuple):
    """A `Lack` is the reason why the kernel offers no FUSE over io_uring, and what helps."""

    reason: str
    fix: str

    def __str__(self) -> str:
        return f"{self.reason}; {self.fix}"


DEVICE = Transport("/dev/fuse")
IO_URING = Transport("io_uring")


def lack() -> Lack | None:
    """Return what keeps the kernel from offering FUSE over io_uring now; None if it does."""
    try:
        switch = SWITCH.read_text().strip()
    except OSError:
        return Lack(
            "this kernel has no FUSE over io_uring", "use Linux 6.14 or later with CONFIG_FUSE_IO_URING"
        )
    try:
        forbidden = int(_NO_IO_URING.read_text())
    except (OSError, ValueError):
        forbidden = 0
    if forbidden == 2 or (forbidden == 1 and os.geteuid() != 0):
        return Lack("this machine forbids io_uring", "run as root: sysctl kernel.io_uring_disabled=0")
    if switch != "Y":
        return Lack("the kernel's switch for it is off", f"run as root: echo Y > {SWITCH}")
    return None


def transport_of(error: int) -> Transport:
    """Return the transport of the channel that has this ``fuse_uring_error``."""
    match error:
        case 0:
            return IO_URING
        case errno.ENODATA:
            return DEVICE
        case errno.EOPNOTSUPP:
            reason = lack() or "the kernel's switch for it was off during the mount"
            return Transport(DEVICE.name, str(reason))
        case errno.ENOSYS | errno.EPERM:
            refusal = f"the kernel refuses io_uring to this process ({os.strerror(error)})"
            reason = lack() or f"{refusal}; the profile of a container may be the reason"
            return Transport(DEVICE.name, str(reason))
        case errno.E2BIG:
            return Transport(DEVICE.name, "this machine has too many processors for it")
    return Transport(DEVICE.name, f"the kernel refuses its queues ({os.strerror(error)})")
