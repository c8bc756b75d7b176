"""The rules here concern headers before an entry: pax records, GNU's long names, global headers."""

from tests.workload.image.tar_building import (
    GNU,
    archive,
    base256,
    directory,
    extended,
    file,
    hard_link,
    long_link,
    long_name,
    pax,
    record,
    symlink,
)
from tests.workload.image.tar_rules_headers import AFTER, Rules, one

X = b"x" * 5


def _with(data: bytes) -> tuple[bytes, ...]:
    """Return an archive whose file has an extended header with the unchanged *data*."""
    return one(extended(data), file(b"f", b"x"))


def _of(key: bytes, value: bytes) -> tuple[bytes, ...]:
    return one(pax((key, value)), file(b"f", b"hello"))


RECORDS: Rules = {
    "pax path": _of(b"path", b"a/b"),
    "pax path that is empty": _of(b"path", b""),
    "pax path with a NUL": _of(b"path", b"a\0b"),
    "pax path that is no UTF-8": _of(b"path", b"\xff"),
    "pax path with a newline": _of(b"path", b"a\nb"),
    "pax path with an equals sign": _of(b"path", b"a=b"),
    "pax path beside a ustar prefix": one(pax((b"path", b"g")), file(b"f", b"x", prefix=b"p")),
    "pax path of 4000 bytes": _of(b"path", b"/".join([b"d" * 99] * 40)),
    "pax linkpath": one(pax((b"linkpath", b"t" * 200)), symlink(b"s", b"u")),
    "pax linkpath that is empty": one(pax((b"linkpath", b"")), symlink(b"s", b"u")),
    "pax linkpath with a NUL": one(pax((b"linkpath", b"t\0u")), symlink(b"s", b"u")),
    "pax uname with a NUL": _of(b"uname", b"a\0b"),
    "pax gname with a NUL": _of(b"gname", b"a\0b"),
    "pax comment with a NUL": _of(b"comment", b"a\0b"),
    "pax key with a NUL": _of(b"com\0ment", b"a"),
    "pax key that is empty": _of(b"", b"a"),
    "pax key that nobody knows": _of(b"VENDOR.key", b"a"),
    "pax charset": _of(b"hdrcharset", b"BINARY"),
    "pax size": one(pax((b"size", b"5")), file(b"f", b"hello", size=0), b""),
    "pax size that is empty": _of(b"size", b""),
    "pax size with leading zeros": _of(b"size", b"0005"),
    "pax size with a plus": _of(b"size", b"+5"),
    "pax size that is negative": _of(b"size", b"-5"),
    "pax size with a blank": _of(b"size", b"5 "),
    "pax size that is no number": _of(b"size", b"five"),
    "pax size with a fraction": _of(b"size", b"5.0"),
    "pax size with an underscore": _of(b"size", b"0_5"),
    "pax size of 2^63": _of(b"size", b"9223372036854775808"),
    "pax size of 2^63 - 1": _of(b"size", b"9223372036854775807"),
    "pax size beside a negative one": one(pax((b"size", b"5")), file(b"f", b"hello", size=base256(-1, 12))),
    "pax size of a directory": one(pax((b"size", b"512")), directory(b"d/")),
    "pax size of a hard link": one(file(b"g", b"x"), pax((b"size", b"512")), hard_link(b"h", b"g")),
    "pax size of a symlink that is negative": one(pax((b"size", b"-1")), symlink(b"s", b"t")),
}
RECORDS |= {
    f"pax {key} {value}": _of(key.encode(), value.encode())
    for key in ("mtime", "atime", "ctime")
    for value in (
        *("", "5", "5.5", "5.", ".5", "+5", "05", "-5", "-5.5", "-0.5", "5.1234567899", "5.000000001", "5,5"),
        *(
            "5.x",
            "5.-1",
            " 5",
            "5 ",
            "5e3",
            "0x5",
            "9223372036.854775807",
            "9223372037",
            "9223372036854775807",
        ),
        *("9223372036854775808", "-9223372036854775808", "1_0", "5.1_0", "5.5.5", "-", "+", "NaN", "\u0665"),
    )
}
RECORDS |= {
    "pax atime after mtime": one(pax((b"atime", b"5000.25"), (b"mtime", b"4000.5")), file(b"f", b"x")),
    "pax atime before mtime": one(pax((b"atime", b"3000"), (b"mtime", b"4000")), file(b"f", b"x")),
    "pax times of a directory": one(pax((b"atime", b"5000"), (b"mtime", b"4000.5")), directory(b"d/")),
    "pax times of a symlink": one(pax((b"atime", b"5000"), (b"mtime", b"4000.5")), symlink(b"s", b"t")),
    "pax records given twice": one(pax((b"path", b"a"), (b"path", b"b")), file(b"f", b"x")),
    "pax record given twice, then empty": one(pax((b"path", b"a"), (b"path", b"")), file(b"f", b"x")),
    "pax mode is not one": _of(b"mode", b"0777"),
    "pax device numbers of star": one(
        pax((b"SCHILY.devmajor", b"1"), (b"SCHILY.devminor", b"5")), file(b"f", b"x")
    ),
    "pax xattr": _of(b"SCHILY.xattr.user.a", b"v"),
    "pax xattr with a NUL and a newline": _of(b"SCHILY.xattr.user.a", b"v\0\n=w"),
    "pax xattr that is empty": _of(b"SCHILY.xattr.user.a", b""),
    "pax xattr of no name": _of(b"SCHILY.xattr.", b"v"),
    "pax xattr of no name space": _of(b"SCHILY.xattr.a", b"v"),
    "pax xattr of an unknown name space": _of(b"SCHILY.xattr.other.a", b"v"),
    "pax xattr that is trusted": _of(b"SCHILY.xattr.trusted.a", b"v"),
    "pax xattr with an equals sign": _of(b"SCHILY.xattr.user.a=b", b"v"),
    "pax xattr name too long": _of(b"SCHILY.xattr.user." + b"n" * 300, b"v"),
    "pax xattr value of 70000 bytes": _of(b"SCHILY.xattr.user.a", b"v" * 70000),
    "pax xattr of a capability": _of(
        b"SCHILY.xattr.security.capability", bytes.fromhex("0100000200040000000000000000000000000000")
    ),
    "pax xattr of a capability that is none": _of(b"SCHILY.xattr.security.capability", b"none"),
    "pax xattr of libarchive": _of(b"LIBARCHIVE.xattr.user.a", b"dg=="),
    "pax xattr of a directory": one(pax((b"SCHILY.xattr.user.a", b"v")), directory(b"d/")),
    "pax xattr of a symlink": one(pax((b"SCHILY.xattr.user.a", b"v")), symlink(b"s", b"after")),
    "pax xattr of a hard link": one(
        file(b"g", b"x"), pax((b"SCHILY.xattr.user.a", b"v")), hard_link(b"h", b"g")
    ),
    "pax xattrs of a directory that is given twice": one(
        pax((b"SCHILY.xattr.user.a", b"v")),
        directory(b"d/"),
        pax((b"SCHILY.xattr.user.b", b"w")),
        directory(b"d/", 0o700),
    ),
    "pax acl": _of(b"SCHILY.acl.access", b"user::rw-"),
}
LENGTHS: Rules = {
    "pax header that is empty": _with(b""),
    "pax length that is too long": _with(b"99 path=a\n"),
    "pax length that is too short": _with(b"6 path=abcdef\n"),
    "pax length of 4": _with(b"4 =\n"),
    "pax length of 5": _with(b"5 a=\n"),
    "pax length with leading zeros": _with(b"011 path=a\n"),
    "pax length with many leading zeros": _with(b"0000000000000000000000000000000040 path=a\n"),
    "pax length with a plus": _with(b"+11 path=a\n"),
    "pax length that is negative": _with(b"-10 path=a\n"),
    "pax length with a blank before": _with(b" 11 path=a\n"),
    "pax length with two blanks": _with(b"11  path=a\n"),
    "pax length and a tab": _with(b"10\tpath=a\n"),
    "pax length of no number": _with(b"aa path=a\n"),
    "pax record without a newline": _with(b"10 path=aX"),
    "pax record without an equals sign": _with(b"8 patha\n"),
    "pax record and NULs": _with(record(b"path", b"a") + bytes(20)),
    "pax record and blanks": _with(record(b"path", b"a") + b"   "),
    "pax record and rubbish": _with(record(b"path", b"a") + b"rubbish"),
    "pax length beyond 64 bits": _with(b"99999999999999999999 path=a\n"),
    "pax header of 1 MiB": one(extended(record(b"comment", b"c" * ((1 << 20) - 17))), file(b"f", b"x")),
    "pax header of more than 1 MiB": one(extended(record(b"comment", b"c" * (1 << 20))), file(b"f", b"x")),
    "pax header with a size that is negative": one(
        extended(record(b"path", b"a"), size=base256(-1, 12)), file(b"f", b"x")
    ),
    "pax header with a mode of no number": one(
        extended(record(b"path", b"a"), mode=b"zzz"), file(b"f", b"x")
    ),
}
_NAME = b"/".join([b"d" * 60] * 3)
ORDERS: Rules = {
    "second extended header replaces the first": one(
        pax((b"path", b"a"), (b"mtime", b"5")), pax((b"mtime", b"7")), file(b"f", b"x")
    ),
    "second extended header that is empty": one(pax((b"path", b"a")), extended(b""), file(b"f", b"x")),
    "second extended header with an empty path": one(
        pax((b"path", b"a")), pax((b"path", b"")), file(b"f", b"x")
    ),
    "extended header of one entry only": one(pax((b"path", b"a")), file(b"f", b"x"), file(b"g", b"y")),
    "gnu long name": one(long_name(_NAME), file(b"f", b"x", magic=GNU)),
    "gnu long name in a ustar archive": one(long_name(_NAME), file(b"f", b"x")),
    "gnu long name beside a pax path": one(long_name(b"gnu"), pax((b"path", b"pax")), file(b"f", b"x")),
    "pax path beside a gnu long name": one(pax((b"path", b"pax")), long_name(b"gnu"), file(b"f", b"x")),
    "gnu long name that is empty": one(extended(b"\0", b"L"), file(b"f", b"x", magic=GNU)),
    "gnu long name that is empty beside a pax path": one(
        pax((b"path", b"pax")), extended(b"", b"L"), file(b"f", b"x")
    ),
    "gnu long name without a NUL": one(extended(b"gnu", b"L"), file(b"f", b"x", magic=GNU)),
    "gnu long name and what follows its NUL": one(extended(b"gnu\0zzz", b"L"), file(b"f", b"x", magic=GNU)),
    "second gnu long name": one(long_name(b"a"), long_name(b"b"), file(b"f", b"x", magic=GNU)),
    "second gnu long name that is empty": one(
        long_name(b"a"), extended(b"", b"L"), file(b"f", b"x", magic=GNU)
    ),
    "gnu long name of more than 1 MiB": one(
        extended(b"a" * ((1 << 20) + 1), b"L"), file(b"f", b"x", magic=GNU)
    ),
    "gnu long link": one(long_link(b"t" * 300), symlink(b"s", b"u", magic=GNU)),
    "gnu long link beside a pax linkpath": one(
        long_link(b"gnu"), pax((b"linkpath", b"pax")), symlink(b"s", b"u")
    ),
    "gnu long link of a hard link": one(
        long_name(_NAME), file(b"f", b"x", magic=GNU), long_link(_NAME), hard_link(b"h", b"u", magic=GNU)
    ),
    "gnu long name of one entry only": one(
        long_name(b"gnu"), file(b"f", b"x", magic=GNU), file(b"g", b"x", magic=GNU)
    ),
    "gnu long name of a directory of type NUL": one(
        long_name(b"d/" + b"e" * 120 + b"/"), file(b"f", b"", magic=GNU, type=b"\0")
    ),
    "gnu long name beside a prefix": one(long_name(b"gnu"), file(b"f", b"x", prefix=b"p")),
    "global header": one(pax((b"comment", b"c"), type=b"g"), file(b"f", b"x")),
    "global header with a path": one(pax((b"path", b"p"), (b"mtime", b"5"), type=b"g"), file(b"f", b"x")),
    "global header that is malformed": one(extended(b"rubbish", b"g"), file(b"f", b"x")),
    "global header with an mtime of no number": one(pax((b"mtime", b"x"), type=b"g"), file(b"f", b"x")),
    "global header with an xattr": one(pax((b"SCHILY.xattr.user.a", b"v"), type=b"g"), file(b"f", b"x")),
    "global header after an extended one": one(
        pax((b"path", b"a")), pax((b"comment", b"c"), type=b"g"), file(b"f", b"x")
    ),
    "global header after a gnu long name": one(
        long_name(b"gnu"), pax((b"comment", b"c"), type=b"g"), file(b"f", b"x", magic=GNU)
    ),
    "global header of more than 1 MiB": one(
        extended(record(b"comment", b"c" * (1 << 20)), b"g"), file(b"f", b"x")
    ),
    "global header at the end": (archive([AFTER, pax((b"comment", b"c"), type=b"g")]),),
    "global header with a directory in its name": one(
        extended(record(b"comment", b"c"), b"g", b"made/global"), file(b"f", b"x")
    ),
    "global header with the name of a file": one(
        file(b"f", b"x"), extended(record(b"comment", b"c"), b"g", b"f")
    ),
    "global header with the name of a whiteout": (
        archive([file(b"f", b"x")]),
        archive([extended(record(b"comment", b"c"), b"g", b".wh.f")]),
    ),
}

RULES: Rules = {**RECORDS, **LENGTHS, **ORDERS}
