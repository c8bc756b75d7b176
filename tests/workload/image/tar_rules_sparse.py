"""The rules here concern sparse files: GNU's old type and the three forms in pax records."""

from tests.workload.image.tar_building import (
    BLOCK,
    GNU,
    directory,
    extended,
    file,
    header,
    octal,
    padded,
    pax,
    record,
    symlink,
)
from tests.workload.image.tar_rules_headers import Rules, one

REAL = 8192
A, B = b"a" * 512, b"b" * 100


def _version_0(*pairs: tuple[bytes, bytes], data: bytes = A + B, **fields: object) -> tuple[bytes, ...]:
    return one(pax(*((b"GNU.sparse." + key, value) for key, value in pairs)), file(b"f", data, **fields))


def _map(
    text: bytes, blocks: int | bytes = 2, size: bytes = b"8192", data: bytes = A + B
) -> tuple[bytes, ...]:
    """Return a sparse file of version 0.1."""
    return _version_0(
        (b"size", size),
        (b"numblocks", blocks if isinstance(blocks, bytes) else b"%d" % blocks),
        (b"map", text),
        data=data,
    )


def _offsets(*pairs: tuple[bytes, bytes]) -> tuple[bytes, ...]:
    """Return a sparse file of version 0.0."""
    return _version_0((b"size", b"8192"), (b"numblocks", b"2"), *pairs)


def _one_0(
    lines: bytes, data: bytes = A + B, *, size: bytes = b"8192", more: bytes = b"", key: bytes = b"realsize"
) -> tuple[bytes, ...]:
    """Return a sparse file of version 1.0, whose map precedes its data."""
    header_data = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    header_data += record(b"GNU.sparse.name", b"real/name") + record(b"GNU.sparse." + key, size) + more
    return one(extended(header_data), file(b"GNUSparseFile.0/name", padded(lines) + data))


def _old(
    *entries: tuple[int | bytes, int | bytes],
    real: int | bytes = REAL,
    extensions: tuple[bytes, ...] = (),
    data: bytes = A + B,
    magic: bytes = GNU,
    more: bool | None = None,
) -> tuple[bytes, ...]:
    """Return a file of GNU's old sparse type S."""
    patches = {}
    for number, (offset, length) in enumerate(entries):
        patches[386 + 24 * number] = octal(offset, 12) if isinstance(offset, int) else offset
        patches[398 + 24 * number] = octal(length, 12) if isinstance(length, int) else length
    patches[482] = b"\x01" if (bool(extensions) if more is None else more) else b"\0"
    patches[483] = octal(real, 12) if isinstance(real, int) else real
    first = header(b"f", type=b"S", size=len(data), magic=magic, patches=patches)
    return one(first, *extensions, padded(data))


OFFSET, NUMBYTES = b"offset", b"numbytes"
RULES: Rules = {
    "sparse 0.0": _offsets((OFFSET, b"0"), (NUMBYTES, b"512"), (OFFSET, b"4096"), (NUMBYTES, b"100")),
    "sparse 0.0 with a number missing": _offsets((OFFSET, b"0"), (NUMBYTES, b"512"), (OFFSET, b"4096")),
    "sparse 0.0 in the wrong order": _offsets((NUMBYTES, b"512"), (OFFSET, b"0")),
    "sparse 0.0 with two offsets": _offsets((OFFSET, b"0"), (OFFSET, b"4096"), (NUMBYTES, b"100")),
    "sparse 0.0 with a comma": _offsets((OFFSET, b"0,512"), (NUMBYTES, b"4096,100")),
    "sparse 0.0 with a map of 0.1": _offsets(
        (b"map", b"1,1"), (OFFSET, b"0"), (NUMBYTES, b"512"), (OFFSET, b"4096"), (NUMBYTES, b"100")
    ),
    "sparse 0.0 with an empty offset": _offsets((OFFSET, b""), (NUMBYTES, b"512")),
    "sparse 0.0 in a global header": one(
        pax((b"GNU.sparse.offset", b"0"), (b"GNU.sparse.numbytes", b"512"), type=b"g"), file(b"f", A)
    ),
    "sparse 0.1": _map(b"0,512,4096,100"),
    "sparse 0.1 with a version": _version_0(
        (b"major", b"0"),
        (b"minor", b"1"),
        (b"size", b"8192"),
        (b"numblocks", b"2"),
        (b"map", b"0,512,4096,100"),
    ),
    "sparse 0.1 with a name": _version_0(
        (b"name", b"d/real"), (b"size", b"8192"), (b"numblocks", b"2"), (b"map", b"0,512,4096,100")
    ),
    "sparse 0.1 with a realsize": _version_0(
        (b"realsize", b"8192"), (b"numblocks", b"2"), (b"map", b"0,512,4096,100")
    ),
    "sparse 0.1 with both sizes": _version_0(
        (b"realsize", b"9999"), (b"size", b"8192"), (b"numblocks", b"2"), (b"map", b"0,512,4096,100")
    ),
    "sparse 0.1 without a size": _version_0((b"numblocks", b"2"), (b"map", b"0,512,512,100")),
    "sparse 0.1 without a count": _version_0((b"size", b"8192"), (b"map", b"0,512,4096,100")),
    "sparse 0.1 without a map": _version_0(
        (b"major", b"0"), (b"minor", b"1"), (b"size", b"8192"), (b"numblocks", b"0"), data=b""
    ),
    "sparse 0.1 with an empty map": _map(b"", 0, data=b""),
    "sparse 0.1 with a count too small": _map(b"0,512,4096,100", 1),
    "sparse 0.1 with a count too large": _map(b"0,512,4096,100", 3),
    "sparse 0.1 with a negative count": _map(b"0,512,4096,100", -2),
    "sparse 0.1 with a count of no number": _map(b"0,512,4096,100", b"two"),
    "sparse 0.1 with a plus": _map(b"+0,0512,+4096,100", b"+2"),
    "sparse 0.1 with a blank": _map(b"0, 512,4096,100"),
    "sparse 0.1 with an odd map": _map(b"0,512,4096"),
    "sparse 0.1 with no number": _map(b"0,512,x,100"),
    "sparse 0.1 that overlaps": _map(b"0,512,511,101"),
    "sparse 0.1 out of order": _map(b"4096,512,0,100"),
    "sparse 0.1 that touches": _map(b"0,512,512,100"),
    "sparse 0.1 beyond the size": _map(b"0,512,8100,100"),
    "sparse 0.1 up to the size": _map(b"0,512,8092,100"),
    "sparse 0.1 with a negative offset": _map(b"-512,512,4096,100"),
    "sparse 0.1 with a negative length": _map(b"0,512,4096,-100"),
    "sparse 0.1 that overflows": _map(b"0,512,9223372036854775807,100"),
    "sparse 0.1 with empty fragments": _map(b"0,512,512,0,4096,100,8192,0", 4),
    "sparse 0.1 with an empty fragment beyond the size": _map(b"0,512,4096,100,8193,0", 3),
    "sparse 0.1 of holes only": _map(b"8192,0", 1, data=b""),
    "sparse 0.1 of size 0": _map(b"0,0", 1, b"0", data=b""),
    "sparse 0.1 with a size of no number": _map(b"0,512,4096,100", size=b"big"),
    "sparse 0.1 with a negative size": _map(b"0,512,4096,100", size=b"-1"),
    "sparse 0.1 with an empty size": _map(b"0,512,512,100", size=b""),
    "sparse 0.1 with less data": _map(b"0,512,4096,100", data=A + B[:50]),
    "sparse 0.1 with more data": _map(b"0,512,4096,100", data=A + B + b"more"),
    "sparse 0.1 with more data, ending in a hole": _map(b"0,512,4096,100", data=A + B + b"c" * 600),
    "sparse 0.1 with more data than a file up to its end": _map(b"0,512,8092,100", data=A + B + b"more"),
    "sparse 0.1 of version 0.2": _version_0(
        (b"major", b"0"), (b"minor", b"2"), (b"size", b"8192"), (b"numblocks", b"1"), (b"map", b"0,612")
    ),
    "sparse 0.1 of version 2.0": _version_0((b"major", b"2"), (b"minor", b"0"), (b"size", b"8192")),
    "sparse with a minor version only": _version_0((b"minor", b"0"), (b"size", b"8192"), (b"name", b"g")),
    "sparse 0.1 of a directory": one(
        pax((b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.map", b"0,1")), directory(b"d/")
    ),
    "sparse 0.1 of a symlink": one(
        pax((b"GNU.sparse.numblocks", b"0"), (b"GNU.sparse.map", b",")), symlink(b"s", b"t")
    ),
    "sparse 0.1 of type 7": _version_0(
        (b"size", b"8192"), (b"numblocks", b"2"), (b"map", b"0,512,4096,100"), type=b"7"
    ),
    "sparse 0.1 of type NUL": _version_0(
        (b"size", b"8192"), (b"numblocks", b"2"), (b"map", b"0,512,4096,100"), type=b"\0"
    ),
    "sparse 0.1 with a pax size": one(
        pax(
            (b"size", b"612"),
            (b"GNU.sparse.size", b"8192"),
            (b"GNU.sparse.numblocks", b"2"),
            (b"GNU.sparse.map", b"0,512,4096,100"),
        ),
        file(b"f", A + B, size=0),
    ),
    "sparse size without a map": _version_0((b"size", b"8192"), (b"name", b"other")),
    "sparse 0.1 beside a gnu long name": one(
        extended(b"gnu\0", b"L"),
        pax((b"GNU.sparse.name", b"real"), (b"GNU.sparse.numblocks", b"0"), (b"GNU.sparse.map", b"")),
        file(b"f", b""),
    ),
    "sparse 1.0": _one_0(b"2\n0\n512\n4096\n100\n"),
    "sparse 1.0 with a size": _one_0(b"2\n0\n512\n4096\n100\n", key=b"size"),
    "sparse 1.0 with an empty map": _one_0(b"0\n", b""),
    "sparse 1.0 with one fragment at the end": _one_0(b"1\n7580\n612\n"),
    "sparse 1.0 of holes, as GNU tar writes it": _one_0(b"1\n8192\n0\n", b""),
    "sparse 1.0 with a map of two blocks": _one_0(b"102\n0\n512\n4096\n100\n" + b"8192\n0\n" * 100),
    "sparse 1.0 with a map cut short": _one_0(b"2\n0\n512\n4096\n", b""),
    "sparse 1.0 without a map": _one_0(b"", b""),
    "sparse 1.0 without a newline": _one_0(b"2", A),
    "sparse 1.0 with a negative count": _one_0(b"-1\n"),
    "sparse 1.0 with a count of no number": _one_0(b"x\n0\n512\n"),
    "sparse 1.0 with a huge count": _one_0(b"9223372036854775807\n0\n1\n"),
    "sparse 1.0 with a count of a million": _one_0(b"1000000\n0\n1\n"),
    "sparse 1.0 with a plus": _one_0(b"+2\n+0\n0512\n4096\n100\n"),
    "sparse 1.0 with a blank": _one_0(b"2\n 0\n512\n4096\n100\n"),
    "sparse 1.0 with an empty number": _one_0(b"2\n\n512\n4096\n100\n"),
    "sparse 1.0 with a carriage return": _one_0(b"2\r\n0\n512\n4096\n100\n"),
    "sparse 1.0 that overlaps": _one_0(b"2\n0\n512\n511\n101\n"),
    "sparse 1.0 beyond the size": _one_0(b"2\n0\n512\n8100\n100\n"),
    "sparse 1.0 with less data": _one_0(b"2\n0\n512\n4096\n100\n", A),
    "sparse 1.0 with more data": _one_0(b"2\n0\n512\n4096\n100\n", A + B + b"c" * 700),
    "sparse 1.0 with rubbish after the map": _one_0(b"2\n0\n512\n4096\n100\nrubbish"),
    "sparse 1.0 without a name": one(
        pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"8192")),
        file(b"f", padded(b"1\n0\n512\n") + A),
    ),
    "sparse 1.0 without a size": one(
        pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")),
        file(b"f", padded(b"1\n0\n512\n") + A),
    ),
    "sparse 1.0 with a pax path": _one_0(b"1\n0\n512\n", A, more=record(b"path", b"GNUSparseFile.0/p")),
    "sparse 1.0 with a name with a NUL": _one_0(b"1\n0\n512\n", A, more=record(b"GNU.sparse.name", b"a\0b")),
    "sparse 1.0 of a directory": one(
        pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")), directory(b"d/")
    ),
    "sparse type S": _old((0, 512), (4096, 100)),
    "sparse type S with an extension": _old(
        (0, 512), extensions=(octal(4096, 12) + octal(100, 12) + bytes(BLOCK - 24),)
    ),
    "sparse type S that overlaps": _old((0, 512), (100, 100)),
    "sparse type S with a bad number": _old((b"zz", 512)),
    "sparse type S with an extension missing": _old((0, 512), more=True),
    "sparse type S in ustar": _old((0, 512), magic=b"ustar\x0000"),
}
