"""The rules here concern header blocks: formats, numbers, checksums, types, the end of an archive."""

from tests.workload.image.tar_building import (
    BLOCK,
    END,
    GNU,
    V7,
    archive,
    base256,
    checksums,
    directory,
    file,
    hard_link,
    header,
    octal,
    pax,
    symlink,
)

Rules = dict[str, tuple[bytes, ...]]

NAME = b"usr/lib/file"
PREFIX = b"usr/local/lib/node_modules"
STAR = {508: b"tar\0"}
AFTER = file(b"after", b"after\n")


def one(*parts: bytes) -> tuple[bytes, ...]:
    return (archive([*parts, AFTER]),)


def _summed(number: int, form: bytes) -> bytes:
    """Return a header whose checksum is written as *form*; the sum is the same for every form."""
    block = header(b"f")
    return block[:148] + (form % checksums(block)[number])[:8].ljust(8, b"\0") + block[156:]


def _signed() -> bytes:
    block = header(b"f\xc3\xa9\xff")
    return block[:148] + b"%06o\0 " % checksums(block)[1] + block[156:]


FORMATS: Rules = {
    "v7 has no prefix": one(file(b"f", b"x", magic=V7, prefix=b"dir")),
    "v7 has no device numbers": one(
        header(b"f", type=b"3", magic=V7, patches={329: octal(1), 337: octal(3)})
    ),
    "v7 device numbers that are no numbers": one(header(b"f", magic=V7, patches={329: b"zzzzzzzz"})),
    "ustar prefix": one(file(b"f", b"x", prefix=b"a/b")),
    "ustar prefix of 155 bytes": one(file(b"f" * 100, b"x", prefix=b"p" * 154 + b"q")),
    "ustar prefix that ends in a slash": one(file(b"f", b"x", prefix=b"a/b/")),
    "ustar prefix and no name": one(file(b"", b"x", prefix=b"a/b")),
    "ustar prefix that is absolute": one(file(b"f", b"x", prefix=b"/a")),
    "ustar of another version": one(file(b"f", b"x", magic=b"ustar\0  ", prefix=b"a")),
    "ustar without a NUL in its magic": one(file(b"f", b"x", magic=b"ustar00\0", prefix=b"a")),
    "ustar with a prefix that is no ASCII": one(file(b"f", b"x", prefix=b"\xc3\xa9")),
    "magic of blanks": one(file(b"f", b"x", magic=b"        ", prefix=b"a")),
    "gnu has no prefix": one(file(b"f", b"x", magic=GNU, patches={345: octal(5, 12), 357: octal(6, 12)})),
    "gnu with a version of ustar": one(file(b"f", b"x", magic=b"ustar 00", prefix=b"a")),
    "gnu with a path where its times are": one(file(b"f", b"x", magic=GNU, prefix=PREFIX)),
    "gnu with a short path where its atime is": one(file(b"f", b"x", magic=GNU, prefix=b"a/b")),
    "gnu with a path of digits where its times are": one(file(b"f", b"x", magic=GNU, prefix=b"17")),
    "gnu with a path of bad digits where its times are": one(file(b"f", b"x", magic=GNU, prefix=b"89/x")),
    "gnu with a path that is no ASCII": one(file(b"f", b"x", magic=GNU, prefix=b"d\xc3\xa9/x")),
    "gnu with a path of 155 bytes": one(file(b"f", b"x", magic=GNU, prefix=b"a/" * 77 + b"b")),
    "gnu with an atime of no number": one(
        file(b"f", b"x", magic=GNU, patches={345: b"x" * 11, 357: octal(6, 12)})
    ),
    "gnu with a ctime of no number": one(file(b"f", b"x", magic=GNU, patches={357: b"zz"})),
    "gnu with an atime that base 256 overflows": one(
        file(b"f", b"x", magic=GNU, patches={345: b"\x80" + b"\x7f" * 11})
    ),
    "gnu directory with a path where its times are": one(directory(b"d/", magic=GNU, prefix=b"a/b")),
    "gnu atime": one(file(b"f", b"x", magic=GNU, patches={345: octal(5000, 12)})),
    "star prefix": one(file(b"f", b"x", prefix=b"a/b", patches=STAR)),
    "star prefix of 131 bytes and times": one(
        file(b"f", b"x", prefix=b"p" * 131, patches={**STAR, 476: octal(3000, 12), 488: octal(6, 12)})
    ),
    "star with an atime of no number": one(file(b"f", b"x", prefix=b"a", patches={**STAR, 476: b"zz"})),
    "star trailer in a gnu header": one(file(b"f", b"x", magic=GNU, patches=STAR)),
    "ustar prefix beyond 131 bytes and no trailer": one(
        file(b"f", b"x", prefix=b"p" * 140, patches={476: b"q" * 12, 488: b"r" * 12})
    ),
    "user and group names are not used": one(file(b"f", b"x", patches={265: b"nobody\0", 297: b"nogroup\0"})),
}

NUMBERS: Rules = {
    "size of octal digits without a NUL": one(file(b"f", b"hello", size=b"000000000005")),
    "size with a blank at its end": one(file(b"f", b"hello", size=b"00000000005 ")),
    "size with blanks before": one(file(b"f", b"hello", size=b"          5\0")),
    "size with NULs before": one(file(b"f", b"hello", size=b"\0\0\0\0\0\0\0\0\0\0\x005")),
    "size with what follows a NUL": one(file(b"f", b"hello", size=b"5\0zzzzzzzzzz")),
    "size with a blank within": one(file(b"f", b"hello", size=b"0 5\0")),
    "size with a sign": one(file(b"f", b"hello", size=b"+5\0")),
    "size that is negative in octal": one(file(b"f", b"hello", size=b"-5\0")),
    "size with an underscore": one(file(b"f", b"hello", size=b"0_5\0")),
    "size with an octal prefix": one(file(b"f", b"hello", size=b"0o5\0")),
    "size with a tab": one(file(b"f", b"hello", size=b"\t5\0")),
    "size of digits that are not octal": one(file(b"f", b"hello", size=b"8\0")),
    "size of decimal digits with a letter": one(file(b"f", b"hello", size=b"5x\0")),
    "size of nothing": one(file(b"f", b"", size=b"\0" * 12)),
    "size of blanks": one(file(b"f", b"", size=b" " * 12)),
    "size in base 256": one(file(b"f", b"hello", size=base256(5, 12))),
    "size in base 256 that is negative": one(file(b"f", b"hello", size=base256(-5, 12))),
    "size in base 256 of 64 bits": one(file(b"f", b"hello", size=b"\x80\0\0\0\x80" + bytes(7))),
    "size in base 256 beyond 64 bits": one(file(b"f", b"hello", size=b"\x80" + b"\x01" * 11)),
    "size of 2^62": one(file(b"f", b"hello", size=base256(1 << 62, 12))),
    "size that is no ASCII": one(file(b"f", b"hello", size=b"\xd9\xa5\0")),
    "mode with bits beyond 07777": one(file(b"f", b"x", mode=b"0100644\0")),
    "mode of a symlink's bits": one(file(b"f", b"x", mode=b"0120755\0")),
    "mode that is negative": one(file(b"f", b"x", mode=base256(-1))),
    "mode of nothing": one(file(b"f", b"x", mode=bytes(8))),
    "mode of no number": one(file(b"f", b"x", mode=b"rw-r--r-")),
    "mode with setuid, setgid and sticky": one(file(b"f", b"x", mode=0o7755)),
    "mode of a directory with setgid and sticky": one(directory(b"d/", 0o3775)),
    "mtime of nothing": one(file(b"f", b"x", mtime=bytes(12))),
    "mtime of no number": one(file(b"f", b"x", mtime=b"yesterday\0")),
    "mtime in base 256": one(file(b"f", b"x", mtime=base256(2_000_000_000, 12))),
    "mtime before 1970": one(file(b"f", b"x", mtime=base256(-1000, 12))),
    "mtime of all octal digits": one(file(b"f", b"x", mtime=b"77777777777\0")),
    "mtime beyond what nanoseconds hold": one(file(b"f", b"x", mtime=base256(1 << 40, 12))),
    "mtime of 2^62": one(file(b"f", b"x", mtime=base256(1 << 62, 12))),
    "mtime of the least number": one(file(b"f", b"x", mtime=base256(-(1 << 62), 12))),
    "link name of 100 bytes": one(symlink(b"s", b"l" * 100)),
    "name of 100 bytes": one(file(b"n" * 100, b"x")),
    "name after a NUL is nothing": one(file(b"f\0g", b"x")),
    "name that is no UTF-8": one(file(b"\xff\xfe", b"x")),
    "device numbers of no number on a file": one(file(b"f", b"x", major=b"zzzzzzzz")),
    "device numbers negative on a file": one(file(b"f", b"x", major=base256(-1))),
    "uid of no number": one(file(b"f", b"x", uid=b"root\0")),
}

OWNERS: Rules = (
    {
        f"{field} {text}": one(file(b"f", b"x", **{field: base256(number)}))
        for field in ("uid", "gid")
        for text, number in {
            "of -1": -1,
            "of -2": -2,
            "of -1000": -1000,
            "of 2^21": 1 << 21,
            "of 2^31 - 1": (1 << 31) - 1,
            "of 2^31": 1 << 31,
            "of 2^32 - 2": (1 << 32) - 2,
            "of 2^32 - 1": (1 << 32) - 1,
            "of 2^32": 1 << 32,
            "of 2^32 + 7": (1 << 32) + 7,
            "of -2^32 + 7": -(1 << 32) + 7,
        }.items()
    }
    | {
        f"pax {field} {text}": one(pax((field.encode(), text.encode())), file(b"f", b"x", **{field: 5}))
        for field in ("uid", "gid")
        for text in (
            *("7", "007", "+7", "-1", "-2", "4294967294", "4294967295", "4294967296", "4294967303"),
            *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "99999999999999999999"),
            *("", " 7", "7 ", "0x7", "1_000", "7.0", "--7", "+", "\xd9\xa7"),
        )
    }
    | {
        "owner of a directory of -1": one(directory(b"d/", uid=base256(-1), gid=base256(-1))),
        "owner of a symlink of -2": one(symlink(b"s", b"t", uid=base256(-2), gid=base256(-2))),
        "owner of a hard link is its file's": one(
            file(b"f", b"x", uid=1), hard_link(b"h", b"f", uid=base256(-1), gid=7)
        ),
        "uid of -1 changes nothing when gid does": one(file(b"f", b"x", uid=base256(-1), gid=9)),
        "uid of seven octal digits and no NUL": one(file(b"f", b"x", uid=b"77777777")),
    }
)

CHECKSUMS: Rules = {
    "checksum of six digits": one(_summed(0, b"%06o\0 ")),
    "checksum of seven digits and a NUL": one(_summed(0, b"%07o\0")),
    "checksum of eight digits": one(_summed(0, b"%08o")),
    "checksum with blanks before": one(_summed(0, b"%6o\0 ")),
    "checksum with blanks after": one(_summed(0, b"%o  ")),
    "checksum with a blank and a NUL": one(_summed(0, b"%06o \0")),
    "checksum with NULs before": one(_summed(0, b"\0\0%o\0")),
    "checksum of signed characters": one(_signed()),
    "checksum with a sign": one(_summed(0, b"+%o\0")),
    "checksum of nothing": one(header(b"f", checksum=bytes(8))),
    "checksum that is wrong by one": one(
        header(b"f", checksum=b"%06o\0 " % (checksums(header(b"f"))[0] + 1))
    ),
    "checksum in base 256": one(header(b"f", checksum=base256(checksums(header(b"f"))[0]))),
    "checksum with an underscore": one(_summed(0, b"0_%o\0")),
}

TYPES: Rules = {
    f"type {text}": one(header(b"f", type=flag, link=b"after", **more), data)
    for text, flag, more, data in (
        ("7, a contiguous file", b"7", {"size": 5}, b"hello".ljust(512, b"\0")),
        ("NUL", b"\0", {"size": 5}, b"hello".ljust(512, b"\0")),
        ("A", b"A", {}, b""),
        ("D, GNU's dump directory", b"D", {}, b""),
        ("M, GNU's continued file", b"M", {}, b""),
        ("N, GNU's old long name", b"N", {}, b""),
        ("V, GNU's volume header", b"V", {}, b""),
        ("X, Solaris's extended header", b"X", {}, b""),
        ("S without GNU's magic", b"S", {}, b""),
        ("I, star's inode", b"I", {}, b""),
        ("blank", b" ", {}, b""),
        ("8", b"8", {}, b""),
        ("6 with a size", b"6", {"size": 5}, b""),
        ("2 with a size", b"2", {"size": 512}, b""),
        ("5 with a size", b"5", {"size": 512}, b""),
        ("3 with a size", b"3", {"size": 512, "major": 1, "minor": 3}, b""),
        ("4 with device numbers", b"4", {"major": 7, "minor": 0}, b""),
        ("2 with a size that is negative", b"2", {"size": base256(-1, 12)}, b""),
        ("5 with a size of no number", b"5", {"size": b"zzz\0"}, b""),
    )
} | {
    "type 0 with a slash at the end": one(header(b"d/")),
    "type 0 with a slash at the end and content": one(file(b"d/", b"content")),
    "type NUL with a slash at the end": one(header(b"d/", type=b"\0")),
    "type NUL with a slash at the end and content": one(file(b"d/", b"content", type=b"\0")),
    "type NUL with a slash in its pax path": one(pax((b"path", b"d/")), header(b"f", type=b"\0")),
    "type NUL without the slash in its pax path": one(pax((b"path", b"f")), header(b"d/", type=b"\0")),
    "type 7 with a slash at the end": one(header(b"d/", type=b"7")),
    "type 7 without content": one(header(b"f", type=b"7")),
    "v7 with a slash at the end": one(header(b"d/", type=b"\0", magic=V7)),
    "type 0 with a slash in its ustar prefix": one(header(b"", prefix=b"d")),
    "type 5 without a slash": one(directory(b"d")),
    "symlink without a target": one(symlink(b"s", b"")),
    "hard link without a target": one(hard_link(b"h", b"")),
    "hard link with a size and no content": (
        archive([file(b"f", b"hello"), hard_link(b"h", b"f", size=5), AFTER]),
    ),
    "hard link with a size and its content": (
        archive([file(b"f", b"hello"), hard_link(b"h", b"f", size=5), b"hello".ljust(512, b"\0"), AFTER]),
    ),
    "unknown type with content": one(file(b"f", b"hello", type=b"Z")),
    "fifo": one(header(b"p", type=b"6", mode=0o600)),
    "character device": one(header(b"null", type=b"3", major=1, minor=3)),
    "block device with a mode": one(header(b"b", type=b"4", major=7, minor=200, mode=0o660, gid=6)),
    "device number of -1": one(header(b"c", type=b"3", major=base256(-1), minor=0)),
    "device major of 2^12": one(header(b"c", type=b"3", major=1 << 12, minor=0)),
    "device minor of 2^20": one(header(b"c", type=b"3", major=1, minor=1 << 20)),
    "device minor of 2^20 - 1": one(header(b"c", type=b"3", major=4095, minor=(1 << 20) - 1)),
    "device number of 2^32": one(header(b"c", type=b"3", major=base256(1 << 32), minor=0)),
    "fifo with device numbers": one(header(b"p", type=b"6", major=1, minor=3)),
}

_FIRST = file(b"first", b"first\n")
ENDS: Rules = {
    "no block at all": (b"",),
    "one block of zeros only": (bytes(BLOCK),),
    "two blocks of zeros only": (END,),
    "no end": (_FIRST,),
    "one block of zeros at the end": (_FIRST + bytes(BLOCK),),
    "one block of zeros and half of one": (_FIRST + bytes(BLOCK + 100),),
    "half a block of zeros at the end": (_FIRST + bytes(100),),
    "many blocks of zeros at the end": (_FIRST + bytes(20 * BLOCK),),
    "one block of zeros between entries": (_FIRST + bytes(BLOCK) + AFTER + END,),
    "two blocks of zeros between entries": (_FIRST + END + AFTER + END,),
    "one block of zeros and rubbish": (_FIRST + bytes(BLOCK) + b"x" * BLOCK,),
    "one block of zeros and a little rubbish": (_FIRST + bytes(BLOCK) + b"xx",),
    "rubbish after the end": (_FIRST + END + b"x" * 2000,),
    "rubbish for a header": (_FIRST + b"x" * BLOCK + END,),
    "half a header": (_FIRST + AFTER[:300],),
    "no padding at the end": (_FIRST + AFTER[: BLOCK + 6],),
    "half of the padding at the end": (_FIRST + AFTER[: BLOCK + 100],),
    "content cut short": (_FIRST + AFTER[: BLOCK + 3],),
    "content missing": (_FIRST + AFTER[:BLOCK],),
    "content of whole blocks and no end": (file(b"f", b"y" * BLOCK),),
    "content with a block missing": (file(b"f", b"y" * (3 * BLOCK))[:-BLOCK],),
    "padding that is not zero": (archive([AFTER[: BLOCK + 6] + b"z" * (BLOCK - 6), _FIRST]),),
    "ends after an extended header": (_FIRST + pax((b"path", b"g")),),
    "ends with zeros after an extended header": (_FIRST + pax((b"path", b"g")) + END,),
    "one block of zeros after an extended header": (pax((b"path", b"g")) + bytes(BLOCK) + AFTER + END,),
    "no padding after an extended header": (_FIRST + pax((b"path", b"g"))[: BLOCK + 10],),
    "extended header cut short": (_FIRST + pax((b"path", b"g"))[: BLOCK + 5],),
    "unknown bytes before the first header": (b"\0" * 100 + _FIRST + END,),
}

RULES: Rules = {**FORMATS, **NUMBERS, **OWNERS, **CHECKSUMS, **TYPES, **ENDS}
