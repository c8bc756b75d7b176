"""The map of a sparse file in a tar lists its pieces of data; everything between them is zeros.

GNU tar has four forms of map (GNU tar's manual, "Storing Sparse Files"). The old one, type ``S``, is in the
header and in blocks after it. The others use pax records: 0.0 has a pair of records per piece, 0.1 has one
record, 1.0 has lines of text before the data. A map is malformed if Go's ``archive/tar`` refuses it.
"""

from collections.abc import Callable, Iterator, Mapping

from thinsim.workload.image.errors import MalformedTarError
from thinsim.workload.image.paxrecords import SPARSE_MAP
from thinsim.workload.image.tarheader import BLOCK_SIZE
from thinsim.workload.image.tarnumbers import decimal_number, header_number

Pieces = tuple[tuple[int, int], ...]
"""Offset and length of each piece of data in bytes, in order."""

LARGEST_MAP = 1 << 20
"""Largest map of format 1.0 in bytes; Go has the same limit."""

_MALFORMED = "has a malformed map of a sparse file"
_PIECE = 24
_IN_HEADER = slice(386, 386 + 4 * _PIECE + 1)
_REAL_SIZE = slice(483, 495)


def pax_version(records: Mapping[bytes, bytes]) -> str:
    """Return ``0.1`` or ``1.0`` for a sparse file, ``""`` for other files and for unknown versions."""
    major, minor = records.get(b"GNU.sparse.major", b""), records.get(b"GNU.sparse.minor", b"")
    if major == b"0" and minor in (b"0", b"1"):
        return "0.1"
    if major == b"1" and minor == b"0":
        return "1.0"
    return "0.1" if records.get(SPARSE_MAP) and not major and not minor else ""


def pax_size(records: Mapping[bytes, bytes]) -> int | None:
    """Return the size of the sparse file with its holes in bytes, None if no record has it."""
    value = records.get(b"GNU.sparse.size") or records.get(b"GNU.sparse.realsize")
    return decimal_number(value, "size of a sparse file") if value else None


def pieces_of_record(records: Mapping[bytes, bytes]) -> Pieces:
    """Return the pieces that the record ``GNU.sparse.map`` of version 0.1 lists."""
    count = decimal_number(records.get(b"GNU.sparse.numblocks", b""), "count of a sparse file's pieces")
    text = records.get(SPARSE_MAP, b"")
    numbers = text.split(b",") if text else []
    if count < 0 or len(numbers) != 2 * count:
        raise MalformedTarError(f"{_MALFORMED}: {count} pieces, {len(numbers)} numbers")
    return _pairs(numbers)


def pieces_of_lines(read_block: Callable[[], bytes]) -> Pieces:
    """Return the pieces listed by version 1.0 in whole blocks before the data; *read_block* reads one."""
    lines = _lines(read_block)
    count = decimal_number(next(lines), "count of a sparse file's pieces")
    if count < 0:
        raise MalformedTarError(f"{_MALFORMED}: {count} pieces")
    if 4 * count > LARGEST_MAP:  # each has two digits and two newlines at least
        raise MalformedTarError(
            f"has a sparse file of {count} pieces; maps of {LARGEST_MAP} bytes are the limit"
        )
    return _pairs([next(lines) for _ in range(2 * count)])


def _lines(read_block: Callable[[], bytes]) -> Iterator[bytes]:
    size = 0
    rest = b""
    while size < LARGEST_MAP:
        block = read_block()
        size += len(block)
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    raise MalformedTarError(f"has a sparse file whose map is larger than the limit of {LARGEST_MAP} bytes")


def pieces_of_header(block: bytes, read_block: Callable[[], bytes]) -> tuple[int, Pieces]:
    """Return size and pieces of a file of type ``S`` from its header *block* and the blocks after it."""
    size = header_number(block[_REAL_SIZE], "size of a sparse file")
    pieces: list[tuple[int, int]] = []
    area = block[_IN_HEADER]
    while True:
        places = len(area) // _PIECE
        for start in range(0, places * _PIECE, _PIECE):
            if not area[start]:
                break
            offset = header_number(area[start : start + 12], "map of a sparse file")
            pieces.append((offset, header_number(area[start + 12 : start + 24], "map of a sparse file")))
        if not area[places * _PIECE]:
            return size, tuple(pieces)
        area = read_block()[:BLOCK_SIZE]


def check_pieces(pieces: Pieces, size: int) -> None:
    """Raise MalformedTarError unless *pieces* are in order, do not overlap and are within *size* bytes."""
    end = 0
    for offset, length in pieces:
        if offset < end or length < 0 or offset + length > size:
            raise MalformedTarError(f"{_MALFORMED}: {length} bytes at {offset}, after {end}, of {size}")
        end = offset + length
    if size < 0:
        raise MalformedTarError(f"has a sparse file of {size} bytes")


def _pairs(numbers: list[bytes]) -> Pieces:
    values = [decimal_number(number, "map of a sparse file") for number in numbers]
    return tuple(zip(values[::2], values[1::2], strict=True))
