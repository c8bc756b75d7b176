"""`BoltMeta` is a meta page of a bbolt file: the root of one transaction, with a checksum.

A file has two, in the first two pages, and each commit overwrites the older one (bbolt's tx.go,
writeMeta). The form is that of bbolt's internal/common/meta.go. Numbers are in the byte order of the
machine that wrote them.
"""

import struct
from dataclasses import dataclass

from thinsim.node.containerd.bolt_page import HEADER_SIZE
from thinsim.node.containerd.errors import DatabasePlace

MAGIC = 0xED0CDAED
VERSION = 2
FIRST_DATA_PAGE = 2
"""The number of the first page behind the two meta pages."""
META_END = HEADER_SIZE + 64
"""The number of bytes from the start of a page to the end of the meta in it."""

PAGE_SIZES = tuple(1 << bits for bits in range(9, 25))
"""The sizes that a page may have. bbolt itself takes the page size of the machine that makes the file."""

_FIELDS = struct.Struct("=IIIIQQQQQQ")
_CHECKED = _FIELDS.size - 8
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class BoltMeta:
    """A `BoltMeta` has the page of the root bucket, and the number of the first page that was never used."""

    page_size: int
    root: int
    sequence: int
    """The sequence of the root bucket."""
    high_water_mark: int
    transaction: int
    """The number of the transaction that wrote this meta (bbolt: txid)."""

    @property
    def size(self) -> int:
        """Return the number of bytes of the pages below the high water mark."""
        return self.high_water_mark * self.page_size

    @classmethod
    def decode(cls, content: bytes, place: DatabasePlace) -> "BoltMeta":
        """Return the meta of the page that begins with *content*; DamagedDatabaseError if there is none."""
        if len(content) < META_END:
            raise place.damaged(f"the file ends after {len(content)} of the {META_END} bytes of a meta page")
        fields = content[HEADER_SIZE:META_END]
        magic, version, page_size, _, root, sequence, _, mark, transaction, checksum = _FIELDS.unpack(fields)
        if magic != MAGIC:
            raise place.damaged(_foreign(content, magic))
        if version != VERSION:
            raise place.damaged(f"the format has version {version}; thinsim reads version {VERSION}")
        if checksum != checksum_of(fields[:_CHECKED]):
            raise place.damaged("the checksum of the meta page is wrong")
        if page_size not in PAGE_SIZES:
            raise place.damaged(f"the page size {page_size} is not a power of two from 512 to {1 << 24}")
        if not FIRST_DATA_PAGE <= root < mark:
            raise place.damaged(f"the root bucket is in page {root}, and the high water mark is {mark}")
        return cls(page_size, root, sequence, mark, transaction)


def checksum_of(content: bytes) -> int:
    """Return the FNV-1a hash of *content*, of 64 bits."""
    found = _FNV_OFFSET
    for byte in content:
        found = (found ^ byte) * _FNV_PRIME & (1 << 64) - 1
    return found


def _foreign(content: bytes, magic: int) -> str:
    if content.startswith(_SQLITE):
        return "it is a SQLite database, and containerd's are bbolt databases"
    return f"it is not a page of a bbolt database: its magic is {magic:#010x}, not {MAGIC:#010x}"
