"""`parse_header` reads one header block of a tar: its format and its fields.

The magic and the version determine the format, and the format determines the fields (``format.go`` and
``readHeader`` in Go's ``archive/tar``). V7 has only names and numbers. ustar, which pax shares, adds device
numbers and a prefix of the name. star has a shorter prefix with times after it. GNU has times in place of the
prefix; but Go before 1.8 wrote a prefix in GNU headers as well (golang issue 21005).
"""

import enum
from dataclasses import dataclass

from thinsim.workload.image.errors import MalformedTarError
from thinsim.workload.image.tarnumbers import header_number, octal_number

BLOCK_SIZE = 512


class Format(enum.Enum):
    """A `Format` is the kind of header that the magic identifies."""

    V7 = enum.auto()
    USTAR = enum.auto()
    STAR = enum.auto()
    GNU = enum.auto()


@dataclass(slots=True)
class Header:
    """A `Header` contains the fields of one header block.

    Times are in nanoseconds since 1970; *accessed* is None if the format has none. *path* includes the
    prefix. Numbers are not checked and may be negative.
    """

    format: Format
    flag: bytes
    path: bytes
    link: bytes
    mode: int
    uid: int
    gid: int
    size: int
    modified: int
    accessed: int | None = None
    device: tuple[int, int] = (0, 0)


def parse_header(block: bytes) -> Header:
    """Return the fields of the header *block* of 512 bytes. Raises MalformedTarError for a bad field."""
    form = format_of(block)
    header = Header(
        format=form,
        flag=block[156:157],
        path=text(block[:100]),
        link=text(block[157:257]),
        mode=header_number(block[100:108], "mode"),
        uid=header_number(block[108:116], "uid"),
        gid=header_number(block[116:124], "gid"),
        size=header_number(block[124:136], "size"),
        modified=header_number(block[136:148], "mtime") * 10**9,
    )
    prefix = b""
    if form is not Format.V7:
        header.device = (
            header_number(block[329:337], "device number"),
            header_number(block[337:345], "device number"),
        )
    if form is Format.USTAR:
        prefix = text(block[345:500])
    elif form is Format.STAR:
        prefix = text(block[345:476])
        header.accessed = header_number(block[476:488], "atime") * 10**9
        header_number(block[488:500], "ctime")
    elif form is Format.GNU:
        prefix = _read_gnu_times(header, block)
    if prefix:
        header.path = prefix + b"/" + header.path
    return header


def _read_gnu_times(header: Header, block: bytes) -> bytes:
    """Read the atime into *header*; return the prefix if Go before 1.8 wrote one in its place."""
    try:
        if block[345]:
            header.accessed = header_number(block[345:357], "atime") * 10**9
        if block[357]:
            header_number(block[357:369], "ctime")
    except MalformedTarError:
        header.accessed = None
        prefix = text(block[345:500])
        return prefix if prefix.isascii() else b""
    return b""


def format_of(block: bytes) -> Format:
    """Return the format of a header *block*. Raises MalformedTarError if its checksum is wrong."""
    stored = octal_number(block[148:156], "checksum")
    rest = block[:148] + b" " * 8 + block[156:]
    # Sun's tar summed signed characters
    if stored != sum(rest) and stored != sum(byte - 256 if byte > 127 else byte for byte in rest):
        raise MalformedTarError("has a header with a wrong checksum (damaged, or not a tar)")
    if block[257:263] == b"ustar\0":
        return Format.STAR if block[508:512] == b"tar\0" else Format.USTAR
    return Format.GNU if block[257:265] == b"ustar  \0" else Format.V7


def text(field: bytes) -> bytes:
    """Return *field* up to its first NUL."""
    return field.split(b"\0", 1)[0]
