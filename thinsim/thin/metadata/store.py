"""`MetadataStore` is the small protocol below the block cache: it reads and writes metadata blocks."""

from typing import Protocol

METADATA_BLOCK_SIZE = 4096
"""The size of a metadata block, in bytes (dm-thin-metadata.h, THIN_METADATA_BLOCK_SIZE)."""

ENTRIES_PER_BITMAP = 16320
"""The number of blocks that one bitmap counts (dm-space-map-common.c, entries_per_block)."""

MAX_BITMAPS = 255
"""The largest number of bitmaps in a metadata space map (dm-space-map-common.h, MAX_METADATA_BITMAPS)."""

MAX_METADATA_BLOCKS = MAX_BITMAPS * ENTRIES_PER_BITMAP
"""The largest number of metadata blocks of a device that are used (THIN_METADATA_MAX_SECTORS)."""


class MetadataStore(Protocol):
    """A `MetadataStore` is a device of 4 KiB blocks; all methods raise ``OSError`` when the device fails."""

    @property
    def blocks(self) -> int:
        """Return the number of whole blocks of the device."""

    def read(self, block: int) -> bytes:
        """Return the 4096 bytes of *block*."""

    def write(self, block: int, content: bytes) -> None:
        """Write the 4096 bytes of *block*; durable after the next ``flush``."""

    def flush(self) -> None:
        """Make all writes so far durable."""
