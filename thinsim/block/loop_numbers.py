"""Asks /dev/loop-control for numbers of loop devices (drivers/block/loop.c)."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from thinsim.errors import EnvironmentLacksError

_CONTROL = Path("/dev/loop-control")
_LOOP_CTL_ADD = 0x4C80
_LOOP_CTL_REMOVE = 0x4C81
_LOOP_CTL_GET_FREE = 0x4C82


def free() -> int:
    """Return the least number without a file, making the device if need be; the next who asks gets it too.

    Raises EnvironmentLacksError without a loop driver or permission.
    """
    return _ask_driver(_LOOP_CTL_GET_FREE, 0)


def add(number: int) -> int:
    """Have /dev/loopN made unless it is there."""
    try:
        return _ask_driver(_LOOP_CTL_ADD, number)
    except OSError as error:
        if error.errno == errno.EEXIST:
            return number
        raise


def remove(number: int) -> None:
    """Remove /dev/loopN; it stays while it has a file or is open."""
    with suppress(OSError):
        _ask_driver(_LOOP_CTL_REMOVE, number)


def _ask_driver(request: int, argument: int) -> int:
    try:
        control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise EnvironmentLacksError(
            f"{_CONTROL} is missing: this kernel has no loop driver (modprobe loop)"
        ) from None
    except PermissionError:
        raise EnvironmentLacksError(f"no permission for {_CONTROL}: run as root") from None
    try:
        return fcntl.ioctl(control, request, argument)
    finally:
        os.close(control)
