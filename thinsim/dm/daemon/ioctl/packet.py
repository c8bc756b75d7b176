"""Packs and parses ``struct dm_ioctl``, the head of every request and reply of /dev/mapper/control. Pure.

include/uapi/linux/dm-ioctl.h; native byte order and x86-64's or arm64's alignment, as the caller's.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from thinsim.errors import InvalidValueError

VERSION = (4, 47, 0)
"""The interface's version that is spoken: Linux 6.1's."""

IOCTL_TYPE = 0xFD
NAME_SIZE = 128
UUID_SIZE = 129
"""Both with the final NUL."""

_HEAD = struct.Struct("=3I I I I i I I I Q 128s 129s 7s")
HEAD_SIZE = _HEAD.size
DATA_OFFSET = HEAD_SIZE - 7
"""Where data may begin: the struct's last member, ``data[7]``."""

MAX_REQUEST = 1 << 20
"""Bytes of the longest request or reply buffer; libdm asks for 16 KiB and doubles while it is too small."""


class Command(IntEnum):
    """The ioctls by their number."""

    VERSION = 0
    REMOVE_ALL = 1
    LIST_DEVICES = 2
    DEV_CREATE = 3
    DEV_REMOVE = 4
    DEV_RENAME = 5
    DEV_SUSPEND = 6
    DEV_STATUS = 7
    DEV_WAIT = 8
    TABLE_LOAD = 9
    TABLE_CLEAR = 10
    TABLE_DEPS = 11
    TABLE_STATUS = 12
    LIST_VERSIONS = 13
    TARGET_MSG = 14
    DEV_SET_GEOMETRY = 15
    DEV_ARM_POLL = 16
    GET_TARGET_VERSION = 17


class Flag(IntFlag):
    """``dm_ioctl.flags``."""

    READONLY = 1 << 0
    SUSPEND = 1 << 1
    PERSISTENT_DEV = 1 << 3
    STATUS_TABLE = 1 << 4
    ACTIVE_PRESENT = 1 << 5
    INACTIVE_PRESENT = 1 << 6
    BUFFER_FULL = 1 << 8
    SKIP_BDGET = 1 << 9
    SKIP_LOCKFS = 1 << 10
    NOFLUSH = 1 << 11
    QUERY_INACTIVE_TABLE = 1 << 12
    UEVENT_GENERATED = 1 << 13
    UUID = 1 << 14
    SECURE_DATA = 1 << 15
    DATA_OUT = 1 << 16
    DEFERRED_REMOVE = 1 << 17
    INTERNAL_SUSPEND = 1 << 18


@dataclass(slots=True)
class Packet:
    """One request or reply; *data* is what follows ``data_start``."""

    version: tuple[int, int, int] = VERSION
    data_size: int = MAX_REQUEST
    data_start: int = HEAD_SIZE
    target_count: int = 0
    open_count: int = 0
    flags: int = 0
    event_nr: int = 0
    number: tuple[int, int] = (0, 0)
    name: str = ""
    uuid: str = ""
    data: bytes = b""

    @property
    def room(self) -> int:
        """Bytes that the caller's buffer has for the reply's data."""
        return max(self.data_size - self.data_start, 0)

    def has(self, flag: Flag) -> bool:
        """Tell whether *flag* is set."""
        return bool(self.flags & flag)

    def put(self, flag: Flag, on: bool) -> None:
        """Set *flag*, or clear it."""
        self.flags = self.flags | flag if on else self.flags & ~flag


def decode(content: bytes) -> Packet:
    """Read a request; InvalidValueError (the kernel's EINVAL) if it can't be one."""
    if len(content) < DATA_OFFSET:
        raise InvalidValueError(f"a device-mapper request of {len(content)} bytes: too short")
    head = content[:HEAD_SIZE].ljust(HEAD_SIZE, b"\0")
    fields = _HEAD.unpack(head)
    data_size, data_start = fields[3], fields[4]
    if not DATA_OFFSET <= data_size <= MAX_REQUEST:
        raise InvalidValueError(f"a device-mapper request says that it has {data_size} bytes")
    return Packet(
        version=(fields[0], fields[1], fields[2]),
        data_size=data_size,
        data_start=data_start,
        target_count=fields[5],
        open_count=fields[6],
        flags=fields[7],
        event_nr=fields[8],
        number=decode_number(fields[10]),
        name=_text(fields[11]),
        uuid=_text(fields[12]),
        data=content[data_start:data_size] if data_start >= DATA_OFFSET else b"",
    )


def encode(packet: Packet) -> bytes:
    """Return the reply's bytes; its ``data_size`` is what is used (dm-ioctl.c, ctl_ioctl)."""
    data_start = max(packet.data_start, HEAD_SIZE) if packet.data else packet.data_start
    used = data_start + len(packet.data) if packet.data else DATA_OFFSET
    head = _HEAD.pack(
        *packet.version,
        used,
        data_start,
        packet.target_count,
        packet.open_count,
        packet.flags,
        packet.event_nr,
        0,
        encode_number(packet.number),
        packet.name.encode("utf-8", "surrogateescape"),
        packet.uuid.encode("utf-8", "surrogateescape"),
        b"",
    )
    if not packet.data:
        return head[:DATA_OFFSET]
    return head.ljust(data_start, b"\0") + packet.data


def encode_number(number: tuple[int, int]) -> int:
    """Return major and minor as the interface has them (include/linux/kdev_t.h, huge_encode_dev)."""
    major, minor = number
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def decode_number(encoded: int) -> tuple[int, int]:
    """The other way round (huge_decode_dev)."""
    return (encoded & 0xFFF00) >> 8, (encoded & 0xFF) | ((encoded >> 12) & 0xFFF00)


def _text(field: bytes) -> str:
    text, nul, _ = field.partition(b"\0")
    if not nul:
        raise InvalidValueError("a name in a device-mapper request has no end")
    return text.decode("utf-8", "surrogateescape")
