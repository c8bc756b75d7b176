"""`KernelControl` sends ioctls to /dev/mapper/control, without a dmsetup process for each.

A process per verb costs milliseconds, and tenths of a second in an emulated guest. It also needs its files,
which may be on a device that is suspended. The interface is include/uapi/linux/dm-ioctl.h.
"""

import fcntl
import os
import struct
from pathlib import Path

from thinsim.dm.packet import HEAD_SIZE, IOCTL_TYPE, Command, Flag, Packet, decode, encode
from thinsim.errors import DeviceMapperError, EnvironmentLacksError

CONTROL = Path("/dev/mapper/control")

_VERSION = (4, 0, 0)
"""Every kernel with version 4 accepts this (dm-ioctl.c, check_version)."""
_READ_WRITE = 3
_SIZES = struct.Struct("=I I")
_SIZES_OFFSET = 12


class KernelControl:
    """A `KernelControl` keeps /dev/mapper/control open; DeviceMapperError has the errno of a refusal.

    Its constructor raises EnvironmentLacksError without a device-mapper or without permission.
    """

    def __init__(self) -> None:
        try:
            self._fd = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise EnvironmentLacksError(f"{CONTROL} can't be opened: {error.strerror}") from error

    def suspend(self, name: str) -> None:
        """Suspend *name* (dm-ioctl.c, do_suspend). Suspending twice is no error."""
        self.ask(Command.DEV_SUSPEND, name, Flag.SUSPEND)

    def resume(self, name: str) -> None:
        """Resume *name* (dm-ioctl.c, do_resume). Resuming twice is no error."""
        self.ask(Command.DEV_SUSPEND, name)

    def is_suspended(self, name: str) -> bool:
        """Return whether *name* is suspended."""
        return self.ask(Command.DEV_STATUS, name).has(Flag.SUSPEND)

    def ask(self, command: Command, name: str, flags: int = 0, room: int = HEAD_SIZE) -> Packet:
        """Send *command* with a buffer of *room* bytes, and return the reply."""
        packet = Packet(version=_VERSION, data_size=room, name=name, flags=flags)
        # encode() writes the used size as data_size; a request has the size of its buffer there.
        request = bytearray(encode(packet).ljust(room, b"\0"))
        _SIZES.pack_into(request, _SIZES_OFFSET, room, HEAD_SIZE)
        number = _READ_WRITE << 30 | HEAD_SIZE << 16 | IOCTL_TYPE << 8 | command
        try:
            fcntl.ioctl(self._fd, number, request)
        except OSError as error:
            raise DeviceMapperError(error.errno or 0, f"{command.name} of device {name}") from error
        return decode(bytes(request))

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
