"""These functions build tar archives field by field, even archives that no tar program writes."""

from collections.abc import Iterable, Mapping

BLOCK = 512
END = bytes(2 * BLOCK)
GNU = b"ustar  \0"
USTAR = b"ustar\x0000"
V7 = bytes(8)


def octal(number: int, width: int = 8) -> bytes:
    """Return *number* as tar programs write it: octal digits with leading zeros and a NUL."""
    return b"%0*o\0" % (width - 1, number)


def base256(number: int, width: int = 8) -> bytes:
    """Return *number* as two's complement after a set bit, as GNU tar writes numbers too large for octal."""
    field = bytearray((number & ((1 << (8 * width)) - 1)).to_bytes(width, "big"))
    field[0] |= 0x80
    return bytes(field)


def header(
    name: bytes,
    *,
    type: bytes = b"0",
    size: int | bytes = 0,
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 1000,
    link: bytes = b"",
    magic: bytes = USTAR,
    major: int | bytes = 0,
    minor: int | bytes = 0,
    prefix: bytes = b"",
    patches: Mapping[int, bytes] | None = None,
    checksum: bytes | None = None,
) -> bytes:
    """Return a header block. Numbers are written in octal, bytes unchanged; *patches* are bytes by offset.

    *checksum* is the content of the field; the default is the correct sum.
    """
    block = bytearray(BLOCK)

    def put(offset: int, value: int | bytes, width: int) -> None:
        field = octal(value, width) if isinstance(value, int) else value
        block[offset : offset + len(field)] = field

    for offset, value, width in (
        (0, name, 100),
        (100, mode, 8),
        (108, uid, 8),
        (116, gid, 8),
        (124, size, 12),
        (136, mtime, 12),
        (156, type, 1),
        (157, link, 100),
        (257, magic, 8),
        (345, prefix, 155),
    ):
        put(offset, value, width)
    if magic != V7:
        put(329, major, 8)
        put(337, minor, 8)
    for offset, patch in (patches or {}).items():
        block[offset : offset + len(patch)] = patch
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block) if checksum is None else checksum
    assert len(block) == BLOCK
    return bytes(block)


def checksums(block: bytes) -> tuple[int, int]:
    """Return the sums of a header's characters as unsigned and as signed numbers."""
    rest = block[:148] + b" " * 8 + block[156:512]
    return sum(rest), sum(byte - 256 if byte > 127 else byte for byte in rest)


def padded(data: bytes) -> bytes:
    """Return *data* padded with zeros to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def file(name: bytes, data: bytes = b"", **fields: object) -> bytes:
    """Return a regular file: its header, its content and the padding."""
    return header(name, **{"size": len(data), **fields}) + padded(data)  # type: ignore[arg-type]


def directory(name: bytes, mode: int = 0o755, **fields: object) -> bytes:
    """Return a directory's header."""
    return header(name, type=b"5", mode=mode, **fields)  # type: ignore[arg-type]


def symlink(name: bytes, target: bytes, **fields: object) -> bytes:
    """Return a symlink's header."""
    return header(name, type=b"2", mode=0o777, link=target, **fields)  # type: ignore[arg-type]


def hard_link(name: bytes, target: bytes, **fields: object) -> bytes:
    """Return a hard link's header."""
    return header(name, type=b"1", link=target, **fields)  # type: ignore[arg-type]


def record(key: bytes, value: bytes) -> bytes:
    """Return one pax record, ``LENGTH KEY=VALUE`` and a newline; the length includes its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    length = len(rest) + len(str(length))
    return str(length).encode() + rest


def extended(data: bytes, type: bytes = b"x", name: bytes = b"PaxHeaders/f", **fields: object) -> bytes:
    """Return an extended header with the unchanged *data*, for pax or for another *type*."""
    return file(name, data, type=type, **fields)


def pax(*pairs: tuple[bytes, bytes] | Mapping[bytes, bytes], type: bytes = b"x") -> bytes:
    """Return a pax extended header with these records in this order."""
    records: list[tuple[bytes, bytes]] = []
    for pair in pairs:
        records += pair.items() if isinstance(pair, Mapping) else [pair]
    return extended(b"".join(record(key, value) for key, value in records), type)


def long_name(name: bytes) -> bytes:
    """Return GNU's long name header for the entry that follows."""
    return extended(name + b"\0", b"L", b"././@LongLink", magic=GNU)


def long_link(target: bytes) -> bytes:
    """Return GNU's long link header for the entry that follows."""
    return extended(target + b"\0", b"K", b"././@LongLink", magic=GNU)


def archive(parts: Iterable[bytes]) -> bytes:
    """Return an archive of the parts with its end."""
    return b"".join(parts) + END
