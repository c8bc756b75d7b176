"""`PoolMetadata` changes devices, mappings and reference counts in transactions (dm-thin-metadata.c).

Each method may raise MetadataDamagedError, NoMetadataSpaceError or ``OSError``. The caller must then
``abort`` the running transaction, unless the method states otherwise.
"""

import errno
from collections.abc import Iterator, Sequence

from thinsim.errors import DeviceMapperError
from thinsim.thin.ids import ThinId
from thinsim.thin.mapping import MAX_TIME, pack
from thinsim.thin.metadata.blocks import CACHE_BLOCKS
from thinsim.thin.metadata.counting import BlockCounts
from thinsim.thin.metadata.details import DeviceDetails, ThinRecord
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.mapping_trees import MappingTrees
from thinsim.thin.metadata.metadata_snapshot import held_superblock
from thinsim.thin.metadata.space_map_disk import DataSpaceMap
from thinsim.thin.metadata.space_map_metadata import MetadataSpaceMap
from thinsim.thin.metadata.store import MetadataStore
from thinsim.thin.metadata.superblock import Superblock
from thinsim.thin.metadata.transaction import MetadataTransaction


class PoolMetadata:
    """A `PoolMetadata` opens the metadata on a store.

    It takes the arguments of `MetadataTransaction` and raises the same errors.
    """

    superblock_problems: Sequence[str] = ()
    """Always empty: metadata whose superblock has problems can't be opened."""

    def __init__(
        self,
        store: MetadataStore,
        data_block_size: int | None,
        *,
        may_format: bool = True,
        cache_blocks: int = CACHE_BLOCKS,
    ) -> None:
        self.transaction = MetadataTransaction(
            store, data_block_size, may_format=may_format, cache_blocks=cache_blocks
        )
        self.blocks = self.transaction.blocks

    @property
    def superblock(self) -> Superblock:
        """Return the superblock of the running transaction."""
        return self.transaction.superblock

    @property
    def trees(self) -> MappingTrees:
        """Return the trees below the superblock."""
        return self.transaction.trees

    @property
    def data(self) -> DataSpaceMap:
        """Return the data space map, which counts the references to data blocks."""
        return self.transaction.data

    @property
    def space(self) -> MetadataSpaceMap:
        """Return the metadata space map, which counts the references to metadata blocks."""
        return self.transaction.space

    def commit(self) -> None:
        """Make the running transaction durable, see ``MetadataTransaction.commit``."""
        self.transaction.commit()

    # Devices.

    def create_thin(self, thin_id: ThinId) -> None:
        """Create an empty device; EEXIST if the thin id is in use."""
        self._check_new(thin_id)
        self.transaction.change()
        root = self.trees.bottom.empty()
        self.superblock.mapping_root, _ = self.trees.top.insert(self.superblock.mapping_root, thin_id, root)
        self._add_record(thin_id, 0)

    def create_snap(self, thin_id: ThinId, origin: ThinId) -> None:
        """Create a device with the mappings of *origin*.

        Raises EEXIST if *thin_id* is in use, then ENODATA if *origin* does not exist, and EINVAL if the
        pool's time is at its maximum.
        """
        self._check_new(thin_id)
        root = self._find_tree(origin)
        if root is None:
            raise DeviceMapperError(errno.ENODATA, f"the pool has no thin {origin}")
        if self.superblock.time >= MAX_TIME:
            raise DeviceMapperError(errno.EINVAL, f"the pool has had {MAX_TIME} snapshots, the most possible")
        self.transaction.change()
        self.space.increment(root, root + 1)
        self.superblock.mapping_root, _ = self.trees.top.insert(self.superblock.mapping_root, thin_id, root)
        self.superblock.time += 1
        snap = self._add_record(thin_id, 0)
        source = self._load_record(origin)
        source.changed = True
        source.snapshotted_time = self.superblock.time
        snap.mapped_blocks = source.mapped_blocks

    def delete(self, thin_id: ThinId) -> None:
        """Delete a device and its mappings; ENODATA if unknown, then EBUSY if open."""
        self.transaction.in_service = True
        record = self._load_record(thin_id)
        if record.open_count:
            raise DeviceMapperError(errno.EBUSY, f"thin {thin_id} is open")
        self.transaction.change()
        self.transaction.records.drop(thin_id)
        details_root = self.trees.details.remove(self.superblock.details_root, thin_id)
        if details_root is not None:
            self.superblock.details_root = details_root
        mapping_root = self.trees.top.remove(self.superblock.mapping_root, thin_id)
        if details_root is None or mapping_root is None:
            raise MetadataDamagedError(f"thin {thin_id} lacks its details or its mapping tree")
        self.superblock.mapping_root = mapping_root

    def open_thin(self, thin_id: ThinId) -> ThinRecord:
        """Open a device; ENODATA if unknown. Each open needs a ``close_thin``."""
        record = self._load_record(thin_id)
        record.open_count += 1
        return record

    def close_thin(self, record: ThinRecord) -> None:
        """Close a device that ``open_thin`` returned."""
        record.open_count -= 1

    def details(self, thin_id: ThinId) -> DeviceDetails:
        """Return a device's numbers in the running transaction; ENODATA if unknown."""
        record = self.transaction.records.get(thin_id)
        if record is not None and record.changed:
            return record.details()
        found = self.trees.details.lookup(self.superblock.details_root, thin_id)
        if found is None:
            raise DeviceMapperError(errno.ENODATA, f"the pool has no thin {thin_id}")
        return DeviceDetails(*found)

    def records(self) -> list[ThinRecord]:
        """Return the devices that are open or have changed in the running transaction."""
        return list(self.transaction.records)

    @property
    def devices_changed(self) -> bool:
        """Return whether a device has changed since the last commit (dm_pool_changed_this_transaction)."""
        return any(record.changed for record in self.transaction.records)

    def thin_ids(self) -> list[ThinId]:
        """Return the ids of all devices, ascending."""
        return [ThinId(key) for key, _ in self.trees.top.entries(self.superblock.mapping_root)]

    # Mappings.

    def find(self, thin_id: ThinId, vblock: int) -> int | None:
        """Return the packed data block and time of *vblock*, or None if it is unmapped."""
        trees = self.transaction.trees
        root = trees.top.lookup(self.transaction.superblock.mapping_root, thin_id)
        found: int | None = None if root is None else trees.bottom.lookup(root, vblock)
        return found

    def entries(self, thin_id: ThinId, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield (vblock, packed data block and time) pairs from *begin* to before *end*, ascending.

        The metadata must not change during the iteration.
        """
        root = self._find_tree(thin_id)
        return iter(()) if root is None else self.trees.bottom.entries(root, begin, end)

    def highest(self, thin_id: ThinId) -> int | None:
        """Return the highest mapped virtual block, or None if there is none; ENODATA without a tree."""
        root = self._find_tree(thin_id)
        if root is None:
            raise DeviceMapperError(errno.ENODATA, f"thin {thin_id} has no mapping tree")
        return self.trees.bottom.highest(root)

    def insert(self, record: ThinRecord, vblock: int, data_block: int) -> None:
        """Map *vblock* to *data_block*; the data block of its former mapping loses a reference."""
        transaction = self.transaction
        transaction.add()
        superblock = transaction.superblock
        packed = pack(data_block, superblock.time)
        superblock.mapping_root, new = transaction.trees.insert(
            superblock.mapping_root, record.thin_id, vblock, packed
        )
        record.changed = True
        record.mapped_blocks += new

    def remove_range(self, record: ThinRecord, begin: int, end: int) -> None:
        """Unmap the virtual blocks from *begin* to before *end*; their data blocks lose a reference."""
        self.transaction.change()
        trees, thin_id = self.trees, record.thin_id
        tree = self._find_tree(thin_id)
        if tree is None:
            raise MetadataDamagedError(f"thin {thin_id} has no mapping tree")
        # Hold the tree while its entry is removed; the entry is inserted again with the new root.
        self.space.increment(tree, tree + 1)
        root = trees.top.remove(self.superblock.mapping_root, thin_id)
        if root is None:
            raise MetadataDamagedError(f"thin {thin_id} has no mapping tree")
        self.superblock.mapping_root = root
        while begin < end:
            entry = trees.bottom.next_entry(tree, begin)
            if entry is None or entry[0] >= end:
                break
            tree, removed = trees.bottom.remove_run(tree, entry[0], end)
            begin = entry[0] + 1
            record.mapped_blocks -= removed
        record.changed = True
        self.superblock.mapping_root, _ = trees.top.insert(self.superblock.mapping_root, thin_id, tree)

    # Reading.

    def held_superblock(self) -> Superblock:
        """Return the superblock of the metadata snapshot; ENODATA when none is held."""
        return held_superblock(self.transaction)

    def data_counts(self) -> BlockCounts:
        """Return the reference counts of the data blocks."""
        return self.data.counts

    def metadata_counts(self) -> BlockCounts:
        """Return the reference counts of the metadata blocks."""
        return self.space.counts

    # Data blocks.

    def allocate(self) -> int | None:
        """Allocate the next free data block; return None if there is none until the next commit."""
        self.transaction.add()
        return self.transaction.data.allocate()

    def increment(self, begin: int, end: int) -> None:
        """Add a reference to the data blocks from *begin* to before *end*."""
        self.transaction.change()
        self.transaction.data.increment(begin, end)

    def decrement(self, begin: int, end: int) -> None:
        """Drop a reference to the data blocks from *begin* to before *end*."""
        self.transaction.change()
        self.transaction.data.decrement(begin, end)

    # The pool.

    def set_transaction_id(self, current: int, new: int) -> None:
        """Set the user's transaction id to *new*; EINVAL if *current* is not the present one."""
        self.transaction.in_service = True
        if current != self.superblock.transaction_id:
            raise DeviceMapperError(
                errno.EINVAL, f"transaction id is {self.superblock.transaction_id}, not {current}"
            )
        self.transaction.change()
        self.superblock.transaction_id = new

    def extend_data(self, blocks: int) -> None:
        """Extend the data space map to *blocks* blocks; a smaller number changes nothing."""
        if blocks > self.data.nr_blocks_running:
            self.transaction.change()
            self.data.extend(blocks - self.data.nr_blocks_running)

    def extend_metadata(self, blocks: int) -> None:
        """Extend the metadata space map to *blocks* blocks; a smaller number changes nothing."""
        if blocks > self.space.nr_blocks:
            self.transaction.change()
            self.space.extend(blocks - self.space.nr_blocks)
            self.transaction.set_reserve()

    def _find_tree(self, thin_id: ThinId) -> int | None:
        transaction = self.transaction
        root: int | None = transaction.trees.top.lookup(transaction.superblock.mapping_root, thin_id)
        return root

    def _check_new(self, thin_id: ThinId) -> None:
        self.transaction.in_service = True
        known = self.transaction.records.get(thin_id) is not None
        if known or self.trees.details.lookup(self.superblock.details_root, thin_id) is not None:
            raise DeviceMapperError(errno.EEXIST, f"thin {thin_id} exists")

    def _load_record(self, thin_id: ThinId) -> ThinRecord:
        record = self.transaction.records.get(thin_id)
        if record is None:
            record = self.transaction.records.add(ThinRecord(thin_id, *self.details(thin_id)))
        return record

    def _add_record(self, thin_id: ThinId, mapped_blocks: int) -> ThinRecord:
        time = self.superblock.time
        transaction_id = self.superblock.transaction_id
        return self.transaction.records.add(
            ThinRecord(thin_id, mapped_blocks, transaction_id, time, time, changed=True)
        )
