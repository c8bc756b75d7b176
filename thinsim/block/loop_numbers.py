"""These functions get, create and remove loop devices by number (drivers/block/loop.c, loop-control)."""

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
    """Return the lowest number without a file, and create its device if necessary.

    The number is not reserved: the next caller gets the same one. Raises EnvironmentLacksError if the loop
    driver or the permission is missing.
    """
    return _ask_driver(_LOOP_CTL_GET_FREE, 0)


def add(number: int) -> int:
    """Create /dev/loopN unless it exists; return its number."""
    try:
        return _ask_driver(_LOOP_CTL_ADD, number)
    except OSError as error:
        if error.errno == errno.EEXIST:
            return number
        raise


def remove(number: int) -> None:
    """Remove /dev/loopN, unless it has a file or is open."""
    with suppress(OSError):
        _ask_driver(_LOOP_CTL_REMOVE, number)


def _ask_driver(request: int, argument: int) -> int:
    try:
        control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise EnvironmentLacksError(
            f"{_CONTROL} is missing: this kernel has no loop driver; try modprobe loop"
        ) from None
    except PermissionError:
        raise EnvironmentLacksError(f"no permission for {_CONTROL}: run as root") from None
    try:
        return fcntl.ioctl(control, request, argument)
    finally:
        os.close(control)
