"""`Bitmap` and `MetadataIndex` are the blocks of a space map that are not btree nodes.

A bitmap counts the references to 16320 blocks, with two bits per block. The lower bit is the high one. The
value 3 means three or more references: the count is in the reference count tree (dm-space-map-common.c,
sm_lookup_bitmap).
"""

import struct
from typing import ClassVar, NamedTuple

from thinsim.thin.metadata.checksum import BITMAP_SALT, INDEX_SALT, seal, verify
from thinsim.thin.metadata.store import ENTRIES_PER_BITMAP, MAX_BITMAPS, METADATA_BLOCK_SIZE

_HEADER = struct.Struct("<IIQ")
_ENTRY = struct.Struct("<QII")
_PACKED = METADATA_BLOCK_SIZE - _HEADER.size
_PER_BYTE = 4
# The pair of bits is stored high bit first, so on disk 2 means one reference and 1 means two.
_SWAPPED = (0, 2, 1, 3)
_SWAP = bytes(_SWAPPED[value & 3] for value in range(256))
_UNPACK = [bytes(_SWAPPED[value >> 2 * part & 3] for value in range(256)) for part in range(_PER_BYTE)]


class IndexEntry(NamedTuple):
    """An `IndexEntry` locates a bitmap and counts its free entries (struct disk_index_entry).

    *block* is the bitmap's metadata block. No entry below *none_free_before* is free. *nr_free* includes
    entries past the end of the map. The struct is in dm-space-map-common.h.
    """

    block: int
    nr_free: int
    none_free_before: int


class Bitmap:
    """A `Bitmap` has one byte per block: its count of references, 0 to 2, or 3 for three or more."""

    __slots__ = ("counts",)

    KIND: ClassVar[str] = "space map bitmap"

    def __init__(self, counts: bytearray | None = None) -> None:
        self.counts = bytearray(ENTRIES_PER_BITMAP) if counts is None else counts

    def copy(self) -> "Bitmap":
        """Return an independent copy."""
        return Bitmap(self.counts[:])

    def encode(self, block: int) -> bytes:
        """Return the bitmap's bytes as metadata block *block*."""
        swapped = self.counts.translate(_SWAP)
        packed = 0
        for part in range(_PER_BYTE):
            packed |= int.from_bytes(swapped[part::_PER_BYTE], "little") << 2 * part
        content = bytearray(_HEADER.pack(0, 0, block) + packed.to_bytes(_PACKED, "little"))
        return seal(content, BITMAP_SALT)

    @classmethod
    def decode(cls, content: bytes, block: int) -> "Bitmap":
        """Return the bitmap in *content*; MetadataDamagedError if it is not one."""
        verify(content, block, BITMAP_SALT, cls.KIND)
        packed = content[_HEADER.size :]
        counts = bytearray(ENTRIES_PER_BITMAP)
        for part in range(_PER_BYTE):
            counts[part::_PER_BYTE] = packed.translate(_UNPACK[part])
        return cls(counts)


class MetadataIndex:
    """A `MetadataIndex` lists the bitmaps of the metadata space map: one block with 255 entries."""

    __slots__ = ("entries",)

    KIND: ClassVar[str] = "space map index"

    def __init__(self, entries: list[IndexEntry] | None = None) -> None:
        self.entries = [IndexEntry(0, 0, 0)] * MAX_BITMAPS if entries is None else entries

    def copy(self) -> "MetadataIndex":
        """Return an independent copy."""
        return MetadataIndex(self.entries[:])

    def encode(self, block: int) -> bytes:
        """Return the index's bytes as metadata block *block*."""
        content = bytearray(_HEADER.pack(0, 0, block))
        content += b"".join(_ENTRY.pack(*entry) for entry in self.entries)
        return seal(content, INDEX_SALT)

    @classmethod
    def decode(cls, content: bytes, block: int) -> "MetadataIndex":
        """Return the index in *content*; MetadataDamagedError if it is not one."""
        verify(content, block, INDEX_SALT, cls.KIND)
        return cls([IndexEntry(*entry) for entry in _ENTRY.iter_unpack(content[_HEADER.size :])])
