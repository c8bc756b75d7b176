"""These functions read status and table lines directly from /dev/mapper/control.

A process per line costs tenths of a second in an emulated guest; these ioctls cost almost nothing. The lines
have the format of dmsetup (lvm2, tools/dmsetup.c, _status).
"""

import fcntl
import os
import struct
from pathlib import Path

from thinsim.dm.daemon.ioctl.packet import HEAD_SIZE, IOCTL_TYPE, Command, Flag, Packet, decode, encode
from thinsim.dm.daemon.ioctl.payload import parse_status

CONTROL = Path("/dev/mapper/control")
_ROOM = 16 << 10
_READ_WRITE = 3


def status_lines(name: str, *, table: bool = False, noflush: bool = False) -> list[str]:
    """Return the lines of ``dmsetup status NAME``, or with *table* of ``dmsetup table NAME``.

    With *noflush* a pool does not commit first. Raises ``OSError``.
    """
    flags = (Flag.STATUS_TABLE if table else 0) | (Flag.NOFLUSH if noflush else 0)
    packet = Packet(data_size=_ROOM, name=name, flags=flags)
    # encode() writes the used size as data_size; a request has the size of its buffer there.
    request = bytearray(encode(packet).ljust(_ROOM, b"\0"))
    struct.pack_into("=I I", request, 12, _ROOM, HEAD_SIZE)
    fd = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _number(Command.TABLE_STATUS), request)
    finally:
        os.close(fd)
    reply = decode(bytes(request))
    segments = parse_status(reply.data, reply.target_count)
    return [f"{each.start} {each.length} {each.kind} {each.text}" for each in segments]


def device_names() -> list[str]:
    """Return the names of the kernel's device-mapper devices, sorted."""
    return sorted(entry.read_text().rstrip("\n") for entry in Path("/sys/block").glob("dm-*/dm/name"))


def _number(command: Command) -> int:
    return _READ_WRITE << 30 | HEAD_SIZE << 16 | IOCTL_TYPE << 8 | command
