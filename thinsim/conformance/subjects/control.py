"""These functions read status and table lines directly from /dev/mapper/control.

The lines have the format of dmsetup (lvm2, tools/dmsetup.c, _status).
"""

from contextlib import closing
from pathlib import Path

from thinsim.dm.clients.kernel_control import KernelControl
from thinsim.dm.daemon.ioctl.payload import parse_status
from thinsim.dm.packet import Command, Flag

_ROOM = 16 << 10


def status_lines(name: str, *, table: bool = False, noflush: bool = False) -> list[str]:
    """Return the lines of ``dmsetup status NAME``, or with *table* of ``dmsetup table NAME``.

    With *noflush* a pool does not commit first. Raises DeviceMapperError.
    """
    flags = (Flag.STATUS_TABLE if table else 0) | (Flag.NOFLUSH if noflush else 0)
    with closing(KernelControl()) as control:
        reply = control.ask(Command.TABLE_STATUS, name, flags, _ROOM)
    segments = parse_status(reply.data, reply.target_count)
    return [f"{each.start} {each.length} {each.kind} {each.text}" for each in segments]


def device_names() -> list[str]:
    """Return the names of the kernel's device-mapper devices, sorted."""
    return sorted(entry.read_text().rstrip("\n") for entry in Path("/sys/block").glob("dm-*/dm/name"))
