"""The smallest metadata device that an empty pool fits on: a bound that needs no trial."""

from thinsim.thin.metadata.store import ENTRIES_PER_BITMAP, METADATA_BLOCK_SIZE
from thinsim.units import Bytes, DataBlocks

_FIXED = 11
"""Superblock, empty trees, space maps of the metadata itself, and their copies until the first commit."""


def least_metadata(blocks: DataBlocks) -> Bytes:
    """Return bytes of metadata without which a pool of *blocks* data blocks can't be made and committed.

    Exact to some 2.7 million blocks, whose bitmaps one leaf names; above that a few blocks more are needed.
    """
    return Bytes((_FIXED + -(-blocks // ENTRIES_PER_BITMAP)) * METADATA_BLOCK_SIZE)
