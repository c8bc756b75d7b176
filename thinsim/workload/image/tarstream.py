"""A `TarReader` reads a tar stream entry by entry, as Go's ``archive/tar`` does for containerd.

Tars that Go refuses raise an error here and are never read as shorter; tars that Go accepts are accepted.
docs/reference/image-rules.md has the rules and compares other readers with them. The standard library's
``tarfile`` takes a bad header in the middle for the end, and keeps every member in memory. `tarheader`
reads a header block, `tarnumbers` its numbers, `paxrecords` and `sparsemap` the pax records.
"""

import enum
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from thinsim.workload.image import sparsemap
from thinsim.workload.image.errors import InvalidImageError, MalformedTarError, shown
from thinsim.workload.image.paxrecords import XATTR, merge_records, parse_records
from thinsim.workload.image.sparsemap import Pieces
from thinsim.workload.image.tarheader import BLOCK_SIZE, Format, Header, format_of, parse_header, text

__all__ = ["BLOCK_SIZE", "PIECE_SIZE", "EntryKind", "TarEntry", "TarReader"]

PIECE_SIZE = 1 << 20
LARGEST_EXTENSION = 1 << 20
"""Largest pax or long name header in bytes; Go's ``archive/tar`` has the same limit."""

_ZEROS = bytes(PIECE_SIZE)


class EntryKind(enum.Enum):
    """An `EntryKind` is the kind of file that an entry makes; the values are tar's type flags."""

    FILE = b"0"
    HARD_LINK = b"1"
    SYMLINK = b"2"
    CHARACTER_DEVICE = b"3"
    BLOCK_DEVICE = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"
    GLOBAL_HEADER = b"g"
    OTHER = b""
    """Any other type; containerd refuses a layer with one."""


_WITHOUT_DATA = frozenset(set(EntryKind) - {EntryKind.FILE, EntryKind.OTHER, EntryKind.GLOBAL_HEADER})


@dataclass(frozen=True, slots=True)
class TarEntry:
    """A `TarEntry` is one member of a tar: its header merged with long names and pax records.

    ``name`` and ``link_target`` are unchanged (they may be absolute or contain ``..``) and decoded like file
    names. ``flag`` is the unchanged type. ``size`` is in bytes, 0 except for files; that of a sparse file
    includes its holes. ``modified`` and ``accessed`` are in nanoseconds since 1970; ``accessed`` is None if
    the tar does not have it. ``pieces`` lists the data of a sparse file and is None for other files. Numbers
    are not checked.
    """

    name: str
    kind: EntryKind
    flag: str
    mode: int
    uid: int
    gid: int
    size: int
    modified: int
    accessed: int | None
    link_target: str
    device: tuple[int, int]
    xattrs: Mapping[str, bytes]
    pieces: Pieces | None = None


class TarReader:
    """A `TarReader` yields the entries of *stream*; ``read`` returns data of the current entry.

    *label* names the stream in errors. Every fault in the stream raises InvalidImageError.
    """

    def __init__(self, stream: BinaryIO, label: str) -> None:
        self._stream = stream
        self._label = label
        self._stored = 0
        """Bytes of the current entry's data that are still unread; `_padding` bytes follow them."""
        self._padding = 0
        self._position = 0
        self._size = 0
        self._pieces: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[TarEntry]:
        try:
            yield from self._entries()
        except MalformedTarError as error:
            raise self._invalid(str(error)) from None

    def _entries(self) -> Iterator[TarEntry]:
        records: dict[bytes, bytes] = {}
        long_name = long_link = b""
        while (block := self._next_block()) is not None:
            header = parse_header(block)
            self._expect(header)
            match header.flag:
                case b"x":
                    records = parse_records(self._extension())
                case b"L":
                    long_name = text(self._extension())
                case b"K":
                    long_link = text(self._extension())
                case b"g":
                    # Go uses only the path of a global header, and only as that header's own name
                    header.path = parse_records(self._extension()).get(b"path") or header.path
                    yield _entry(header, EntryKind.GLOBAL_HEADER, {}, None)
                    records, long_name, long_link = {}, b"", b""  # Go also drops earlier headers here
                case _:
                    yield self._begin(header, block, records, long_name, long_link)
                    records, long_name, long_link = {}, b"", b""

    def _begin(
        self, header: Header, block: bytes, records: dict[bytes, bytes], long_name: bytes, long_link: bytes
    ) -> TarEntry:
        """Return the entry of *header*, whose data comes next in the stream."""
        merge_records(header, records)
        header.path = long_name or header.path
        header.link = long_link or header.link
        if header.flag == b"\0":  # tars older than type flags mark directories by a slash
            header.flag = EntryKind.DIRECTORY.value if header.path.endswith(b"/") else EntryKind.FILE.value
        self._expect(header)
        pieces = self._sparse_pieces(header, block, records)
        kind = _kind(header)
        if pieces is not None:
            if kind in _WITHOUT_DATA:
                raise MalformedTarError(f"entry {shown(header.path)} is sparse, but not a file")
            sparsemap.check_pieces(pieces, header.size)
        self._position, self._size = 0, header.size
        self._pieces = list(pieces or ())
        if pieces is None:
            self._size = self._stored
            self._pieces = [(0, self._stored)]
        self._pieces.reverse()
        if b"\0" in header.path + header.link:
            raise MalformedTarError(f"has a name with a NUL byte, {shown(header.path)}")
        return _entry(header, kind, records, pieces)

    def _sparse_pieces(self, header: Header, block: bytes, records: Mapping[bytes, bytes]) -> Pieces | None:
        if header.flag == b"S":
            if format_of(block) is not Format.GNU:
                raise MalformedTarError(f"entry {shown(header.path)} is sparse, but not as GNU tar writes it")
            header.size, pieces = sparsemap.pieces_of_header(block, lambda: self._exactly(BLOCK_SIZE))
            return pieces
        version = sparsemap.pax_version(records)
        if not version:
            return None
        header.path = records.get(b"GNU.sparse.name") or header.path
        size = sparsemap.pax_size(records)
        header.size = header.size if size is None else size
        return (
            sparsemap.pieces_of_lines(self._map_block)
            if version == "1.0"
            else sparsemap.pieces_of_record(records)
        )

    def _map_block(self) -> bytes:
        if self._stored < BLOCK_SIZE:
            raise MalformedTarError("has a sparse file whose map is cut short")
        self._stored -= BLOCK_SIZE
        return self._exactly(BLOCK_SIZE)

    def read(self, size: int = PIECE_SIZE) -> bytes:
        """Return up to *size* bytes of the current entry's data, zeros for holes, b"" only at its end."""
        while self._pieces and self._pieces[-1][1] == 0:
            self._pieces.pop()
        start, length = self._pieces[-1] if self._pieces else (self._size, 0)
        if self._position < start:
            data = _ZEROS[: min(size, start - self._position)]
        elif not length:
            if self._stored:
                raise self._invalid("has a sparse file with more data than its map lists")
            return b""
        else:
            size = min(size, length)
            if size > self._stored:
                raise self._invalid("has a sparse file with less data than its map lists")
            data = self._exactly(size)
            self._stored -= size
            self._pieces[-1] = (start + size, length - size)
        self._position += len(data)
        return data

    def _expect(self, header: Header) -> None:
        """Set the size of the data after *header*: none for links and directories, even with a size."""
        size = 0 if _kind(header) in _WITHOUT_DATA else header.size
        if size < 0:
            raise MalformedTarError(f"entry {shown(header.path)} has a size of {size} bytes")
        self._stored, self._padding = size, -size % BLOCK_SIZE

    def _next_block(self) -> bytes | None:
        """Return the next header block; None at the end, which is two blocks of zeros or the stream's end."""
        self._skip(self._stored)
        padding = self._padding
        self._stored = self._padding = 0
        if padding and len(self._stream.read(padding)) < padding:
            return None  # the last entry need not be padded
        block = self._block()
        if block is None or any(block):
            return block
        second = self._block()
        if second is not None and any(second):
            raise MalformedTarError("has a block of zeros between entries (only two mark the end)")
        return None

    def _block(self) -> bytes | None:
        block = self._stream.read(BLOCK_SIZE)
        if block and len(block) < BLOCK_SIZE:
            raise MalformedTarError("is cut short in a header")
        return block or None

    def _extension(self) -> bytes:
        size, self._stored = self._stored, 0
        if size > LARGEST_EXTENSION:
            raise MalformedTarError(
                f"has an extended header of {size} bytes; "
                f"thinsim and containerd read up to {LARGEST_EXTENSION}"
            )
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size) if size else b""
        if len(data) < size:
            raise self._invalid("is cut short")
        return data

    def _skip(self, size: int) -> None:
        if size > PIECE_SIZE and self._stream.seekable():
            try:
                self._stream.seek(size - 1, os.SEEK_CUR)
            except (OSError, OverflowError, ValueError):  # larger than any offset
                raise self._invalid("is cut short") from None
            size = 1  # read the last byte, since a seek beyond the end succeeds
        while size:
            size -= len(self._exactly(min(size, PIECE_SIZE)))

    def _invalid(self, fault: str) -> InvalidImageError:
        return InvalidImageError(f"{self._label}: {fault}")


def _kind(header: Header) -> EntryKind:
    try:
        return EntryKind(header.flag)
    except ValueError:
        return EntryKind.OTHER


def _entry(
    header: Header, kind: EntryKind, records: Mapping[bytes, bytes], pieces: Pieces | None
) -> TarEntry:
    return TarEntry(
        name=os.fsdecode(header.path),
        kind=kind,
        flag=header.flag.decode("latin-1"),
        mode=header.mode & 0o7777,
        uid=header.uid,
        gid=header.gid,
        size=header.size if kind is EntryKind.FILE else 0,
        modified=header.modified,
        accessed=header.accessed,
        link_target=os.fsdecode(header.link),
        device=header.device,
        xattrs={
            os.fsdecode(key.removeprefix(XATTR)): value
            for key, value in records.items()
            if key.startswith(XATTR)
        },
        pieces=pieces,
    )
