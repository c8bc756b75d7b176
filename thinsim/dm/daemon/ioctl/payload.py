"""The functions here pack and parse the data of a packet: target specs, name lists, dependencies, messages.

Layout: include/uapi/linux/dm-ioctl.h. No function does I/O. A list that does not fit into the caller's buffer
becomes None: the reply then has BUFFER_FULL set, and the caller repeats the request with a larger buffer.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from thinsim.dm.packet import decode_number, encode_number
from thinsim.errors import InvalidValueError

_SPEC = struct.Struct("=Q Q i I 16s")
_ALIGNMENT = 8


@dataclass(frozen=True, slots=True)
class Segment:
    """A `Segment` is one target of a table: its sectors, type, and arguments, status or table text."""

    start: int
    length: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class ListedDevice:
    """A `ListedDevice` is one entry in the list of devices."""

    name: str
    number: tuple[int, int]
    event_nr: int


def parse_segments(data: bytes, count: int) -> list[Segment]:
    """Parse the target specs of a table load; each has the offset of the next, relative to itself."""
    segments = []
    offset = 0
    for _ in range(count):
        if offset + _SPEC.size > len(data):
            raise InvalidValueError("a table load has fewer targets than it announces")
        start, length, _, following, kind = _SPEC.unpack_from(data, offset)
        end = offset + following if following >= _SPEC.size else len(data)
        text = _string(data[offset + _SPEC.size : max(end, offset + _SPEC.size)])
        segments.append(Segment(start, length, kind.partition(b"\0")[0].decode("ascii", "replace"), text))
        if following < _SPEC.size:
            following = len(data)  # the last one may have 0
        offset += following
    return segments


def segments(all_of: Sequence[Segment], room: int) -> bytes | None:
    """Return status or table texts. Here "next" counts from the first spec (dm-ioctl.c, retrieve_status)."""
    out = bytearray()
    for segment in all_of:
        text = _terminated(segment.text)
        end = _aligned(len(out) + _SPEC.size + len(text))
        out += _SPEC.pack(segment.start, segment.length, 0, end, segment.kind.encode())
        out += text
        out += bytes(end - len(out))
    return bytes(out) if len(out) <= room else None


def parse_status(data: bytes, count: int) -> list[Segment]:
    """Parse the result of :func:`segments`."""
    found = []
    offset = 0
    for _ in range(count):
        start, length, _, following, kind = _SPEC.unpack_from(data, offset)
        text = _string(data[offset + _SPEC.size :])
        found.append(Segment(start, length, kind.partition(b"\0")[0].decode("ascii", "replace"), text))
        offset = following
    return found


def names(devices: Sequence[ListedDevice], room: int) -> bytes | None:
    """Return the list of devices in the given order; one empty entry if there are none (list_devices)."""
    if not devices:
        empty = struct.pack("=Q I", 0, 0) + bytes(4)
        return empty if len(empty) <= room else None
    out = bytearray()
    for index, device in enumerate(devices):
        name = _terminated(device.name)
        tail = _aligned(12 + len(name))
        # The event number follows the name; flag 2 means no uuid (DM_NAME_LIST_FLAG_DOESNT_HAVE_UUID).
        entry = _aligned(tail + 8)
        following = entry if index + 1 < len(devices) else 0
        piece = struct.pack("=Q I", encode_number(device.number), following) + name
        piece = piece.ljust(tail, b"\0") + struct.pack("=I I", device.event_nr, 2)
        out += piece.ljust(entry, b"\0")
    return bytes(out) if len(out) <= room else None


def dependencies(numbers: Sequence[tuple[int, int]], room: int) -> bytes | None:
    """Return ``struct dm_target_deps``."""
    out = struct.pack(f"=I I {len(numbers)}Q", len(numbers), 0, *map(encode_number, numbers))
    return out if len(out) <= room else None


def versions(targets: Sequence[tuple[str, tuple[int, int, int]]], room: int) -> bytes | None:
    """Return one ``struct dm_target_versions`` per target type."""
    out = bytearray()
    for index, (name, version) in enumerate(targets):
        entry = _aligned(16 + len(name) + 1)
        following = entry if index + 1 < len(targets) else 0
        out += (struct.pack("=I 3I", following, *version) + _terminated(name)).ljust(entry, b"\0")
    return bytes(out) if len(out) <= room else None


def parse_names(data: bytes) -> list[ListedDevice]:
    """Parse the result of :func:`names`."""
    found: list[ListedDevice] = []
    offset = 0
    while True:
        encoded, following = struct.unpack_from("=Q I", data, offset)
        if not encoded:
            return found
        name = _string(data[offset + 12 :])
        (event_nr,) = struct.unpack_from("=I", data, offset + _aligned(12 + len(_terminated(name))))
        found.append(ListedDevice(name, decode_number(encoded), event_nr))
        if not following:
            return found
        offset += following


def parse_message(data: bytes) -> tuple[int, str]:
    """Return the sector and the text of a target message."""
    if len(data) < 9:
        raise InvalidValueError("a target message needs a sector and a text")
    (sector,) = struct.unpack_from("=Q", data)
    return sector, _string(data[8:])


def parse_string(data: bytes) -> str:
    """Return the only string of a rename or geometry request."""
    return _string(data)


def _string(data: bytes) -> str:
    text, nul, _ = data.partition(b"\0")
    if not nul:
        raise InvalidValueError("a text in a device-mapper request has no final NUL")
    return text.decode("utf-8", "surrogateescape")


def _terminated(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape") + b"\0"


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
