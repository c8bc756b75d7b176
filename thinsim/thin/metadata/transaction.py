"""MetadataTransaction formats or opens metadata, commits and aborts (dm-thin-metadata.c)."""

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
    """Return how many of *metadata_blocks* a pool keeps for itself: a tenth, 4096 at most."""
    return min(_MAX_RESERVE, metadata_blocks // 10)


class MetadataTransaction:
    """The metadata on *store*, formatted if its first block is all zeros (and *may_format*, else EPERM).

    EINVAL: another *data_block_size* (sectors; None takes any), or features that this form does not know.
    MetadataDamagedError: no pool's metadata, or damaged. Nothing is written then.

    *manager* shadows blocks; *space* and *data* count metadata and data blocks; *trees* and *superblock* are
    those of the running transaction, *records* its devices. ``abort`` replaces all of these but *records*.
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
        """It could not be read anew by ``abort``: nothing is asked of it any more (fail_io)."""
        self.in_service = False
        """A change was asked for since the metadata was opened: from then on every commit writes."""
        self.uncommitted = False
        self.records = DeviceRecords()
        if any(self.blocks.fetch(LOCATION)):
            self._open(data_block_size)
        elif may_format and data_block_size is not None:
            self._format(data_block_size)
        else:
            raise DeviceMapperError(errno.EPERM, "a read-only pool can't be formatted")
        self.set_reserve()

    def commit(self) -> None:
        """Make the running transaction durable: the data device, all blocks, then the superblock.

        Does nothing until the metadata is in service; then it writes the superblock even of a transaction
        without changes (dm-thin-metadata.c, __commit_transaction).
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
        """Go back to the trees of the last commit; from here on they are only read.

        As in the kernel all else that is in memory stays as it was: the transaction id, and every device
        that was open or had changed, even one that was created in the lost transaction. It can be opened,
        has no mappings, and counts those that are gone. When this raises, the metadata has failed for good;
        the second time it is EINVAL.
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
        """Mark the metadata as in need of a check, at once and durably if the device takes the mark.

        One that fails to be written is tried again by ``close``: the kernel has it in its cache till then.
        """
        self.superblock.flags |= NEEDS_CHECK
        durable = self.blocks.get(LOCATION, Superblock).copy()
        durable.flags |= NEEDS_CHECK
        try:
            self._put_superblock(durable)
        except OSError as error:
            log.error("the mark that a check is needed can't be written: %s", error)

    def close(self) -> None:
        """Write the mark that could not be written; what is not committed goes. ``OSError``."""
        if self.superblock.needs_check:
            self.blocks.write_back()

    @property
    def free_blocks(self) -> int:
        """Free metadata blocks above the reserve, a tenth of the device and 4096 at most."""
        return max(0, self.space.nr_free - self._reserve)

    @property
    def used_blocks(self) -> int:
        """Metadata blocks that are not free, the reserve included: what the status line calls used."""
        return self.space.nr_blocks - self.free_blocks

    def change(self) -> None:
        """Note that the running transaction changes something."""
        self.in_service = self.uncommitted = True

    def set_reserve(self) -> None:
        """Keep a part of the present metadata blocks for the pool itself (see ``reserve_of``)."""
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
                errno.EINVAL, f"metadata with features that are not supported ({features:#x})"
            )
        for name, root, limit in (
            ("metadata", found.metadata_space_map, MAX_METADATA_BLOCKS),
            ("data", found.data_space_map, MAX_DATA_BLOCKS),
        ):
            if not is_possible(root, limit):
                used = f"{root.nr_allocated} of {root.nr_blocks} blocks"
                raise MetadataDamagedError(f"superblock: the {name} space map says it uses {used}")
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
