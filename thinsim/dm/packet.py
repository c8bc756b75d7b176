"""A `Packet` is ``struct dm_ioctl``, the head of each request and reply of /dev/mapper/control, and its data.

Layout: include/uapi/linux/dm-ioctl.h, in native byte order, with the alignment of x86-64 or arm64; the caller
has the same. No function does I/O.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from thinsim.errors import InvalidValueError

VERSION = (4, 47, 0)
"""The version of the interface that is implemented: that of Linux 6.1."""

IOCTL_TYPE = 0xFD
NAME_SIZE = 128
UUID_SIZE = 129
"""Names and uuids have these sizes in bytes, with the final NUL."""

_HEAD = struct.Struct("=3I I I I i I I I Q 128s 129s 7s")
HEAD_SIZE = _HEAD.size
DATA_OFFSET = HEAD_SIZE - 7
"""Data may begin at this offset, that of the struct's last member, ``data[7]``."""

MAX_REQUEST = 1 << 20
"""The largest request or reply buffer in bytes; libdm begins with 16 KiB and doubles it as needed."""


class Command(IntEnum):
    """A `Command` is the number of an ioctl."""

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
    """A `Flag` is one bit of ``dm_ioctl.flags``."""

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
    """A `Packet` is one request or reply; its *data* follows at ``data_start``."""

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
        """Return the bytes that the caller's buffer has for the reply's data."""
        return max(self.data_size - self.data_start, 0)

    def has(self, flag: Flag) -> bool:
        """Return whether *flag* is set."""
        return bool(self.flags & flag)

    def put(self, flag: Flag, on: bool) -> None:
        """Set *flag* if *on*, else clear it."""
        self.flags = self.flags | flag if on else self.flags & ~flag


def decode(content: bytes) -> Packet:
    """Parse a request; InvalidValueError, the kernel's EINVAL, if it is malformed."""
    if len(content) < DATA_OFFSET:
        raise InvalidValueError(f"a device-mapper request of {len(content)} bytes is too short")
    head = content[:HEAD_SIZE].ljust(HEAD_SIZE, b"\0")
    fields = _HEAD.unpack(head)
    data_size, data_start = fields[3], fields[4]
    if not DATA_OFFSET <= data_size <= MAX_REQUEST:
        raise InvalidValueError(f"a device-mapper request has a bad data_size: {data_size} bytes")
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
    """Return the reply's bytes; its ``data_size`` is the number of bytes used (dm-ioctl.c, ctl_ioctl)."""
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
    """Return major and minor in the interface's encoding (include/linux/kdev_t.h, huge_encode_dev)."""
    major, minor = number
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def decode_number(encoded: int) -> tuple[int, int]:
    """Return major and minor from the interface's encoding (huge_decode_dev)."""
    return (encoded & 0xFFF00) >> 8, (encoded & 0xFF) | ((encoded >> 12) & 0xFFF00)


def _text(field: bytes) -> str:
    text, nul, _ = field.partition(b"\0")
    if not nul:
        raise InvalidValueError("a name in a device-mapper request has no final NUL")
    return text.decode("utf-8", "surrogateescape")
