"""`MetadataView` reads a pool's metadata, which may be damaged, and never writes it.

A pool that opens its metadata reads the index of the metadata space map first, because it will write
(dm-thin-metadata.c, __open_metadata). A view needs only a superblock with the right checksum, as
thin-provisioning-tools do.
"""

import errno
from collections.abc import Sequence
from typing import Never

from thinsim.errors import DeviceMapperError
from thinsim.thin.metadata.bitmap_index import BlockIndex, TreeIndex
from thinsim.thin.metadata.blocks import BlockCache
from thinsim.thin.metadata.checksum import SUPERBLOCK_SALT, checksum, stored_checksum
from thinsim.thin.metadata.counting import BlockCounts
from thinsim.thin.metadata.details import ThinRecord
from thinsim.thin.metadata.errors import MetadataDamagedError, MetadataReadOnlyError
from thinsim.thin.metadata.mapping_trees import MappingTrees
from thinsim.thin.metadata.shadowing import TransactionManager
from thinsim.thin.metadata.store import MetadataStore
from thinsim.thin.metadata.superblock import LOCATION, Superblock
from thinsim.thin.metadata.superblock_check import superblock_problems


class MetadataView:
    """A `MetadataView` reads the metadata on *store* as it is.

    Raises MetadataDamagedError if the superblock's checksum is wrong. ``superblock_problems`` lists the
    superblock's other faults.
    """

    def __init__(self, store: MetadataStore) -> None:
        self.blocks = BlockCache(store)
        self.blocks.read_only = True
        self.superblock = self._superblock_at(LOCATION)
        self.superblock_problems: Sequence[str] = superblock_problems(
            self.blocks.fetch(LOCATION), store.blocks
        )
        self._manager = TransactionManager(self.blocks)
        self.trees = MappingTrees(self._manager, _NeverCounted())

    def held_superblock(self) -> Superblock:
        """Return the metadata snapshot's superblock; ENODATA when none is held, MetadataDamagedError."""
        held_root = self.superblock.held_root
        if not held_root:
            raise DeviceMapperError(errno.ENODATA, "no metadata snapshot is held")
        return self._superblock_at(held_root)

    def data_counts(self) -> BlockCounts:
        """Return the reference counts of the data blocks; none of them is read yet."""
        root = self.superblock.data_space_map
        return BlockCounts(self._manager, TreeIndex(self._manager, root.bitmap_root), root)

    def metadata_counts(self) -> BlockCounts:
        """Return the reference counts of the metadata blocks; MetadataDamagedError without an index."""
        root = self.superblock.metadata_space_map
        return BlockCounts(self._manager, BlockIndex(self._manager, root.bitmap_root), root)

    def records(self) -> list[ThinRecord]:
        """Return an empty list: a view has no uncommitted changes."""
        return []

    def _superblock_at(self, block: int) -> Superblock:
        content = self.blocks.fetch(block)
        stored, computed = stored_checksum(content), checksum(content, SUPERBLOCK_SALT)
        if stored != computed:
            numbers = f"checksum {stored:#010x}, not {computed:#010x}"
            raise MetadataDamagedError(f"metadata block {block} is not a valid superblock: {numbers}")
        return Superblock.parse(content)


class _NeverCounted:
    """A `_NeverCounted` is the space map of a view's trees; it refuses each change of a count."""

    def increment(self, begin: int, end: int) -> Never:
        raise MetadataReadOnlyError

    def decrement(self, begin: int, end: int) -> Never:
        raise MetadataReadOnlyError
