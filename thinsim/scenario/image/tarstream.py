"""Reads a tar stream strictly: what is damaged is an error, never an early end.

The standard library's ``tarfile`` takes a bad or cut header in the middle for the end of the archive,
keeps every member in memory, and its extraction filters depend on the Python patch release. A layer
needs less than it offers and more certainty: ustar, GNU long names and pax records, one entry at a time,
with headers of bounded size. Rules follow Go's ``archive/tar``, which containerd reads layers with:
global pax headers are passed over, links and directories have no data whatever their size field says.
Sparse entries are refused, for no image builder writes them and their data is not their content.
"""

import enum
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from thinsim.scenario.image.errors import InvalidImageError

BLOCK_SIZE = 512
PIECE_SIZE = 1 << 20
LARGEST_EXTENSION = 1 << 20
"""Bytes of one pax or long name header; Go's ``archive/tar`` has the same limit."""

_LARGEST_NUMBER = 10**18
_XATTR = b"SCHILY.xattr."
_TIME = re.compile(rb"(-?)(\d{1,19})(?:\.(\d*))?")


class Kind(enum.Enum):
    """What an entry makes; the values are tar's type flags."""

    FILE = b"0"
    HARD_LINK = b"1"
    SYMLINK = b"2"
    CHARACTER_DEVICE = b"3"
    BLOCK_DEVICE = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One member of a tar: its header with long names, pax records and numbers worked in.

    ``name`` and ``link_target`` are as written (absolute or with ``..``, if so be) and decoded as file
    names are; ``size`` is in bytes, 0 but for files; ``modified`` is in nanoseconds since 1970.
    """

    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    modified: int
    link_target: str
    device: tuple[int, int]
    xattrs: Mapping[str, bytes]


class TarReader:
    """Iterates over the entries of *stream*; ``read`` gives the data of the current one.

    *label* names the stream in errors. Every fault in the stream raises InvalidImageError.
    """

    def __init__(self, stream: BinaryIO, label: str) -> None:
        self._stream = stream
        self._label = label
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[TarEntry]:
        records: dict[bytes, bytes] = {}
        while (header := self._next_header()) is not None:
            size = self._number(header[124:136], "size")
            match header[156:157]:
                case b"x":
                    records |= self._pax_records(self._extension(size))
                case b"L":
                    records[b"path"] = self._extension(size).split(b"\0", 1)[0]
                case b"K":
                    records[b"linkpath"] = self._extension(size).split(b"\0", 1)[0]
                case b"g":
                    self._extension(size)
                case flag:
                    entry = self._entry(header, flag, size, records)
                    records = {}
                    self._left, self._padding = entry.size, -entry.size % BLOCK_SIZE
                    yield entry
        if records:
            raise self._invalid("ends between an extended header and its entry")

    def read(self, size: int = PIECE_SIZE) -> bytes:
        """Return up to *size* bytes of the current entry's data; b"" at its end."""
        data = self._exactly(min(size, self._left))
        self._left -= len(data)
        return data

    def _next_header(self) -> bytes | None:
        self._skip(self._left + self._padding)
        self._left = self._padding = 0
        header = self._stream.read(BLOCK_SIZE)
        if not header or not any(header):
            return None
        if len(header) < BLOCK_SIZE:
            raise self._invalid("is cut short in a header")
        stored = self._number(header[148:156], "checksum")
        rest = header[:148] + b" " * 8 + header[156:]
        # ancient tars summed signed characters
        if stored != sum(rest) and stored != sum(byte - 256 if byte > 127 else byte for byte in rest):
            raise self._invalid("has a header with a wrong checksum (not a tar, or damaged)")
        return header

    def _entry(self, header: bytes, flag: bytes, size: int, records: dict[bytes, bytes]) -> TarEntry:
        name, prefix = _text(header[:100]), _text(header[345:500])
        if prefix and header[257:263] == b"ustar\0":
            name = prefix + b"/" + name
        name = records.get(b"path") or name
        link = records.get(b"linkpath") or _text(header[157:257])
        if b"\0" in name or b"\0" in link or any(b"\0" in key for key in records):
            raise self._invalid("has a name with a NUL byte")
        kind = self._kind(name, flag)
        if any(key.startswith(b"GNU.sparse.") for key in records):
            raise self._invalid(f"entry {os.fsdecode(name)!r} is sparse, which is not read")
        devices = kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE)
        size = self._decimal(records, b"size", size)
        return TarEntry(
            name=os.fsdecode(name),
            kind=kind,
            mode=self._number(header[100:108], "mode") & 0o7777,
            uid=self._decimal(records, b"uid", self._number(header[108:116], "uid")),
            gid=self._decimal(records, b"gid", self._number(header[116:124], "gid")),
            size=size if kind is Kind.FILE else 0,
            modified=self._time(records, header),
            link_target=os.fsdecode(link),
            device=(
                self._number(header[329:337], "device") if devices else 0,
                self._number(header[337:345], "device") if devices else 0,
            ),
            xattrs={
                os.fsdecode(key.removeprefix(_XATTR)): value
                for key, value in records.items()
                if key.startswith(_XATTR)
            },
        )

    def _kind(self, name: bytes, flag: bytes) -> Kind:
        if flag in (b"\0", b"0", b"7"):  # the directories of tars older than type flags end in a slash
            return Kind.DIRECTORY if name.endswith(b"/") else Kind.FILE
        try:
            return Kind(flag)
        except ValueError:
            text = flag.decode("latin-1")
            raise self._invalid(f"entry {os.fsdecode(name)!r} has type {text!r}, which is not read") from None

    def _time(self, records: dict[bytes, bytes], header: bytes) -> int:
        if b"mtime" not in records:
            return self._number(header[136:148], "mtime", signed=True) * 10**9
        match = _TIME.fullmatch(records[b"mtime"])
        if match is None:
            raise self._invalid(f"has a malformed pax mtime {records[b'mtime']!r}")
        sign, seconds, fraction = match.groups()
        time = int(seconds) * 10**9 + int((fraction or b"")[:9].ljust(9, b"0"))
        return -time if sign else time

    def _decimal(self, records: dict[bytes, bytes], key: bytes, otherwise: int) -> int:
        value = records.get(key)
        if not value:
            return otherwise
        if not value.isdigit() or len(value) > 18:
            raise self._invalid(f"has a malformed pax {key.decode()} {value[:40]!r}")
        return int(value)

    def _number(self, field: bytes, what: str, *, signed: bool = False) -> int:
        """Read octal digits, or base 256 where the first bit says so (GNU, for what octal can't hold)."""
        if field[0] & 0x80:
            bits = len(field) * 8 - 1
            value = int.from_bytes(field, "big") & ((1 << bits) - 1)
            if value >> (bits - 1):
                value -= 1 << bits
        else:
            digits = field.strip(b" \0")
            try:
                value = int(digits.split(b"\0", 1)[0] or b"0", 8)
            except ValueError:
                raise self._invalid(f"has a header with a malformed {what} (not a tar, or damaged)") from None
        if value < 0 and not signed:
            raise self._invalid(f"has a header with a negative {what}")
        if value > _LARGEST_NUMBER:
            raise self._invalid(f"has a header with a {what} out of range: {value}")
        return value

    def _pax_records(self, data: bytes) -> dict[bytes, bytes]:
        records = {}
        position = 0
        while position < len(data):
            length, _, _ = data[position : position + 20].partition(b" ")
            end = position + int(length) if length.isdigit() else 0
            start = position + len(length) + 1
            key, equals, value = data[start : end - 1].partition(b"=")
            if end <= start or data[end - 1 : end] != b"\n" or not equals:
                raise self._invalid("has a malformed pax header")
            records[key] = value
            position = end
        return records

    def _extension(self, size: int) -> bytes:
        if size > LARGEST_EXTENSION:
            raise self._invalid(f"has an extended header of {size} bytes")
        data = self._exactly(size)
        self._skip(-size % BLOCK_SIZE)
        return data

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size) if size else b""
        if len(data) < size:
            raise self._invalid("is cut short")
        return data

    def _skip(self, size: int) -> None:
        if size > PIECE_SIZE and self._stream.seekable():
            try:
                self._stream.seek(size - 1, os.SEEK_CUR)
            except OSError:  # beyond what the file system takes for an offset
                raise self._invalid("is cut short") from None
            size = 1  # read the last byte, for one can seek beyond the end
        while size:
            size -= len(self._exactly(min(size, PIECE_SIZE)))

    def _invalid(self, text: str) -> InvalidImageError:
        return InvalidImageError(f"{self._label}: {text}")


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]
