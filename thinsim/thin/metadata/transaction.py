"""`MetadataTransaction` formats or opens metadata, commits and aborts (dm-thin-metadata.c)."""

import errno
import logging
from collections.abc import Callable

from thinsim.errors import DeviceMapperError
from thinsim.thin.metadata.blocks import CACHE_BLOCKS, BlockCache
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.device_records import DeviceRecords
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.mapping_trees import MappingTrees
from thinsim.thin.metadata.shadowing import TransactionManager
from thinsim.thin.metadata.space_map_disk import DataSpaceMap
from thinsim.thin.metadata.space_map_metadata import MetadataSpaceMap
from thinsim.thin.metadata.store import MAX_METADATA_BLOCKS, MetadataStore
from thinsim.thin.metadata.superblock import LOCATION, NEEDS_CHECK, Superblock
from thinsim.thin.metadata.superblock_check import MAX_DATA_BLOCKS, is_possible

_MAX_RESERVE = 4096

log = logging.getLogger(__name__)


def reserve_of(metadata_blocks: int) -> int:
    """Return the number of *metadata_blocks* that a pool reserves for itself: a tenth, at most 4096."""
    return min(_MAX_RESERVE, metadata_blocks // 10)


class MetadataTransaction:
    """A `MetadataTransaction` opens the metadata on *store*, or formats it if the first block is all zeros.

    *data_block_size* is in sectors; None accepts any, but can't format. Raises EPERM if the store is not
    formatted and *may_format* is False; EINVAL for another *data_block_size* or unknown features;
    MetadataDamagedError if the content is damaged or is not a pool's metadata. After an error nothing is
    written.

    *manager* shadows blocks; *space* and *data* count metadata and data blocks; *trees* and *superblock*
    belong to the running transaction; *records* has its devices. ``abort`` replaces all but *records*.
    """

    def __init__(
        self,
        store: MetadataStore,
        data_block_size: int | None,
        *,
        may_format: bool = True,
        cache_blocks: int = CACHE_BLOCKS,
    ) -> None:
        self.blocks = BlockCache(store, cache_blocks)
        self.before_commit: Callable[[], None] = lambda: None
        self.failed = False
        """True if ``abort`` could not read the metadata again; it is then no longer used (fail_io)."""
        self.in_service = False
        """True once a change was requested since the metadata was opened; each commit then writes."""
        self.uncommitted = False
        self.records = DeviceRecords()
        if any(self.blocks.fetch(LOCATION)):
            self._open(data_block_size)
        elif may_format and data_block_size is not None:
            self._format(data_block_size)
        else:
            raise DeviceMapperError(errno.EPERM, "a read-only pool can't format its metadata")
        self.set_reserve()

    def commit(self) -> None:
        """Make the running transaction durable: flush the data, write all blocks, then the superblock.

        Does nothing until the metadata is in service. From then on it writes the superblock even if the
        transaction has no changes (dm-thin-metadata.c, __commit_transaction).
        """
        if not self.in_service:
            return
        self.before_commit()
        self._write_changed_details()
        self.data.commit()
        self.space.commit()
        self.blocks.flush()
        self.manager.end()
        self._write_superblock()
        self.uncommitted = False

    def abort(self) -> None:
        """Return to the trees of the last commit; from then on they are only read.

        The rest of the state in memory stays, as in the kernel: the transaction id, and each device that was
        open or had changed. A device created in the lost transaction can still be opened; it has no
        mappings, but its mapped blocks still count the lost ones. If this raises, the metadata has failed
        for good; a later call raises EINVAL.
        """
        if self.failed:
            raise OSError(errno.EINVAL, "the metadata has failed")
        self.records.lose_changes()
        lost = self.superblock
        self.blocks.reset()
        self.failed = True
        self._open(lost.data_block_size)
        self.failed = False
        self.superblock.time, self.superblock.transaction_id = lost.time, lost.transaction_id
        self.uncommitted = False

    def set_needs_check(self) -> None:
        """Set the needs_check flag, and write it at once if the device permits it.

        If the write fails, ``close`` tries it again, as the kernel keeps the block in its cache until then.
        """
        self.superblock.flags |= NEEDS_CHECK
        durable = self.blocks.get(LOCATION, Superblock).copy()
        durable.flags |= NEEDS_CHECK
        try:
            self._put_superblock(durable)
        except OSError as error:
            log.error("the needs_check flag can't be written: %s", error)

    def close(self) -> None:
        """Write a needs_check flag that could not be written; uncommitted changes are lost. ``OSError``."""
        if self.superblock.needs_check:
            self.blocks.write_back()

    @property
    def free_blocks(self) -> int:
        """Return the number of free metadata blocks above the reserve (see ``reserve_of``)."""
        return max(0, self.space.nr_free - self._reserve)

    @property
    def used_blocks(self) -> int:
        """Return the number of used metadata blocks in a status line: those in use and the reserve."""
        return self.space.nr_blocks - self.free_blocks

    def change(self) -> None:
        """Record that the running transaction has a change."""
        self.in_service = self.uncommitted = True
        self.manager.turn += 1

    def add(self) -> None:
        """Record that the running transaction has one more mapping, or one more data block in use."""
        self.in_service = self.uncommitted = True

    def set_reserve(self) -> None:
        """Reserve a part of the present metadata blocks for the pool itself (see ``reserve_of``)."""
        self._reserve = reserve_of(self.space.nr_blocks)

    def _format(self, data_block_size: int) -> None:
        blocks = min(self.blocks.store.blocks, MAX_METADATA_BLOCKS)
        self.manager = TransactionManager(self.blocks)
        self.space = MetadataSpaceMap.create(self.manager, blocks)
        self.data = DataSpaceMap(self.manager)
        self.trees = MappingTrees(self.manager, self.data)
        mapping_root = self.manager.new_block(Node.empty(True, 8))
        details_root = self.trees.details.empty()
        self.superblock = Superblock(
            data_block_size, blocks, mapping_root=mapping_root, details_root=details_root
        )
        self.data.commit()
        self.space.commit()
        self.blocks.flush()
        self.manager.end()
        self._write_superblock()

    def _open(self, data_block_size: int | None) -> None:
        found = self.blocks.get(LOCATION, Superblock)
        if data_block_size not in (None, found.data_block_size):
            raise DeviceMapperError(
                errno.EINVAL,
                f"changing the data block size (from {found.data_block_size} to {data_block_size}) "
                "is not supported",
            )
        features = found.incompat_flags or found.compat_ro_flags
        if features:
            raise DeviceMapperError(
                errno.EINVAL, f"the metadata has features that are not supported ({features:#x})"
            )
        for name, root, limit in (
            ("metadata", found.metadata_space_map, MAX_METADATA_BLOCKS),
            ("data", found.data_space_map, MAX_DATA_BLOCKS),
        ):
            if not is_possible(root, limit):
                used = f"{root.nr_allocated} of {root.nr_blocks} blocks"
                raise MetadataDamagedError(f"superblock: its {name} space map can't use {used}")
        self.superblock = found.copy()
        self.manager = TransactionManager(self.blocks)
        self.space = MetadataSpaceMap(self.manager, found.metadata_space_map)
        self.data = DataSpaceMap(self.manager, found.data_space_map)
        self.trees = MappingTrees(self.manager, self.data)

    def _write_superblock(self) -> None:
        self.superblock.data_space_map = self.data.counts.root()
        self.superblock.metadata_space_map = self.space.counts.root()
        self._put_superblock(self.superblock.copy())

    def _put_superblock(self, superblock: Superblock) -> None:
        self.blocks.put(LOCATION, superblock)
        self.blocks.flush()

    def _write_changed_details(self) -> None:
        for record in self.records.newest_first():
            if record.changed:
                self.superblock.details_root, _ = self.trees.details.insert(
                    self.superblock.details_root, record.thin_id, record.details()
                )
                record.changed = False
            if not record.open_count:
                self.records.drop(record.thin_id)
