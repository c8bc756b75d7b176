"""MetadataView looks at a pool's metadata, damaged perhaps: it reads what is asked for, writes nothing.

A pool that opens its metadata reads the index of the metadata space map first, since it will write
(dm-thin-metadata.c, __open_metadata). A reader of trees needs a superblock with the right checksum, no
more: so it is in thin-provisioning-tools.
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
    """The metadata on *store* as it is there. MetadataDamagedError: there is no superblock with a right
    checksum; what else is wrong with it stands in ``superblock_problems``.
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
        """Return that of the metadata snapshot. MetadataDamagedError, ENODATA when none is held."""
        held_root = self.superblock.held_root
        if not held_root:
            raise DeviceMapperError(errno.ENODATA, "no metadata snapshot is held")
        return self._superblock_at(held_root)

    def data_counts(self) -> BlockCounts:
        """Return the reference counts of the data blocks, of which nothing is read yet."""
        root = self.superblock.data_space_map
        return BlockCounts(self._manager, TreeIndex(self._manager, root.bitmap_root), root)

    def metadata_counts(self) -> BlockCounts:
        """Return the reference counts of the metadata blocks. MetadataDamagedError: no index of bitmaps."""
        root = self.superblock.metadata_space_map
        return BlockCounts(self._manager, BlockIndex(self._manager, root.bitmap_root), root)

    def records(self) -> list[ThinRecord]:
        """Return the devices with changes that are not committed: none."""
        return []

    def _superblock_at(self, block: int) -> Superblock:
        content = self.blocks.fetch(block)
        stored, computed = stored_checksum(content), checksum(content, SUPERBLOCK_SALT)
        if stored != computed:
            numbers = f"checksum {stored:#010x}, not {computed:#010x}"
            raise MetadataDamagedError(f"metadata block {block} is no whole superblock: {numbers}")
        return Superblock.parse(content)


class _NeverCounted:
    """The reference counts that trees would change if they were written."""

    def increment(self, begin: int, end: int) -> Never:
        raise MetadataReadOnlyError

    def decrement(self, begin: int, end: int) -> Never:
        raise MetadataReadOnlyError
