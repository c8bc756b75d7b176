"""MetadataStore keeps metadata blocks: it is the small protocol below the block cache."""

from typing import Protocol

METADATA_BLOCK_SIZE = 4096
"""Bytes of a metadata block (dm-thin-metadata.h, THIN_METADATA_BLOCK_SIZE)."""

ENTRIES_PER_BITMAP = 16320
"""Blocks that one bitmap block counts (dm-space-map-common.c, entries_per_block)."""

MAX_BITMAPS = 255
"""Bitmaps that a metadata space map has at most (dm-space-map-common.h, MAX_METADATA_BITMAPS)."""

MAX_METADATA_BLOCKS = MAX_BITMAPS * ENTRIES_PER_BITMAP
"""Metadata blocks of a device that are used (dm-thin-metadata.h, THIN_METADATA_MAX_SECTORS)."""


class MetadataStore(Protocol):
    """A device of 4 KiB blocks. All methods raise ``OSError`` when the device fails."""

    @property
    def blocks(self) -> int:
        """Whole blocks of the device."""

    def read(self, block: int) -> bytes:
        """Return the 4096 bytes of *block*."""

    def write(self, block: int, content: bytes) -> None:
        """Write the 4096 bytes of *block*; durable after the next ``flush``."""

    def flush(self) -> None:
        """Return when everything written is durable."""
