"""`BlockCounts` counts references to blocks, for both space maps (dm-space-map-common.c).

Bitmaps store counts up to two; a btree stores higher counts. An index locates the bitmaps; each of the two
maps has another kind of index (see ``bitmap_index``).
"""

from collections.abc import Callable

from thinsim.thin.metadata.bitmap import Bitmap, IndexEntry
from thinsim.thin.metadata.bitmap_index import BitmapIndex
from thinsim.thin.metadata.btree import Btree
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.btree_spine import ValueType
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.shadowing import TransactionManager
from thinsim.thin.metadata.store import ENTRIES_PER_BITMAP
from thinsim.thin.metadata.superblock import SpaceMapRoot

MANY = 3
"""A bitmap's value for a block whose count is in the btree."""

_COUNT_SIZE = 4

_Apply = Callable[[Bitmap, int, int, int, int], tuple[int, int]]
"""The arguments are (bitmap, first block, its bit, end bit, none_free_before); it changes the counts.

It returns (number of blocks that became used, none_free_before); the number is negative for freed blocks.
"""


class BlockCounts:
    """A `BlockCounts` counts references to *nr_blocks* blocks; *nr_allocated* of them have at least one."""

    def __init__(self, manager: TransactionManager, index: BitmapIndex, root: SpaceMapRoot) -> None:
        self.nr_blocks = root.nr_blocks
        self.nr_allocated = root.nr_allocated
        self.index = index
        self.index_changed = False
        self._manager = manager
        self._many = Btree(manager, ValueType(_COUNT_SIZE))
        self._many_root = root.ref_count_root

    def create(self) -> None:
        """Create the trees of a map without blocks."""
        self.index.create()
        self._many_root = self._many.empty()

    def committed(self) -> "BlockCounts":
        """Return a read-only copy of the map as it is now."""
        return BlockCounts(self._manager, self.index.copy(), self.root())

    def root(self) -> SpaceMapRoot:
        """Return the root that the superblock stores."""
        return SpaceMapRoot(self.nr_blocks, self.nr_allocated, self.index.root, self._many_root)

    def extend(self, blocks: int) -> None:
        """Add *blocks* free blocks at the end (sm_ll_extend)."""
        present = -(-self.nr_blocks // ENTRIES_PER_BITMAP)
        self.nr_blocks += blocks
        wanted = -(-self.nr_blocks // ENTRIES_PER_BITMAP)
        self.index.check_length(wanted)
        for number in range(present, wanted):
            block = self._manager.new_block(Bitmap())
            self._save(number, IndexEntry(block, ENTRIES_PER_BITMAP, 0))

    def commit(self) -> None:
        """Write the changed entries of the index into the metadata blocks."""
        if self.index_changed:
            self.index.commit()
            self.index_changed = False

    def count(self, block: int) -> int:
        """Return the number of references to *block*."""
        few = self.count_in_bitmap(block)
        return few if few != MANY else self._count_in_tree(block)

    def count_in_bitmap(self, block: int) -> int:
        """Return the number of references to *block*, or 3 for three or more."""
        if not 0 <= block < self.nr_blocks:
            raise MetadataDamagedError(f"a space map of {self.nr_blocks} blocks has no block {block}")
        number, bit = divmod(block, ENTRIES_PER_BITMAP)
        return self.bitmap(number).counts[bit]

    def bitmap(self, number: int) -> Bitmap:
        """Return bitmap *number*, which the caller must not change."""
        return self._manager.blocks.get(self.index.load(number).block, Bitmap)

    def increment(self, begin: int, end: int) -> None:
        """Add a reference to each block from *begin* to before *end*."""
        self._each_bitmap(begin, end, self._increment)

    def take_free(self, number: int, bit: int, counts: bytearray) -> None:
        """Add the first reference to a block: *bit* of bitmap *number*, whose shadow has *counts*."""
        counts[bit] = 1
        entry = self.index.load(number)
        none_free_before = bit + 1 if entry.none_free_before == bit else entry.none_free_before
        self._save(number, IndexEntry(entry.block, entry.nr_free - 1, none_free_before))
        self.nr_allocated += 1

    def decrement(self, begin: int, end: int) -> None:
        """Drop a reference to each block from *begin* to before *end*.

        Raises MetadataDamagedError if a block has none.
        """
        self._each_bitmap(begin, end, self._decrement)

    def many_entries(self) -> list[tuple[int, int]]:
        """Return the (block, count) pairs of all blocks with three references or more."""
        return list(self._many.entries(self._many_root))

    def _each_bitmap(self, begin: int, end: int, apply: _Apply) -> None:
        if not 0 <= begin <= end <= self.nr_blocks:
            raise MetadataDamagedError(
                f"a space map of {self.nr_blocks} blocks has no blocks {begin} to {end - 1}"
            )
        while begin < end:
            number, bit = divmod(begin, ENTRIES_PER_BITMAP)
            bit_end = min(bit + end - begin, ENTRIES_PER_BITMAP)
            entry = self.index.load(number)
            block, bitmap, _ = self._manager.shadow(entry.block, Bitmap)
            changed, none_free_before = apply(bitmap, begin, bit, bit_end, entry.none_free_before)
            self._save(number, IndexEntry(block, entry.nr_free - changed, none_free_before))
            self.nr_allocated += changed
            begin += bit_end - bit

    def _increment(
        self, bitmap: Bitmap, block: int, bit: int, bit_end: int, none_free_before: int
    ) -> tuple[int, int]:
        counts, length = bitmap.counts, bit_end - bit
        part = counts[bit:bit_end]
        if part.count(1) == length:
            counts[bit:bit_end] = b"\2" * length
            return 0, none_free_before
        free = part.count(0)
        if free == length:
            counts[bit:bit_end] = b"\1" * length
            return length, bit_end if bit <= none_free_before < bit_end else none_free_before
        for at, few in enumerate(part, bit):
            if few < MANY:
                counts[at] = few + 1
                if few == 0 and none_free_before == at:
                    none_free_before = at + 1
                elif few == MANY - 1:
                    self._insert_many(block + at - bit, MANY)
            else:
                node, index = self._overwrite_many(block + at - bit)
                node.values[index] += 1
        return free, none_free_before

    def _decrement(
        self, bitmap: Bitmap, block: int, bit: int, bit_end: int, none_free_before: int
    ) -> tuple[int, int]:
        counts, length = bitmap.counts, bit_end - bit
        part = counts[bit:bit_end]
        if 0 in part:
            raise MetadataDamagedError(f"block {block + part.index(0)} has no reference to drop")
        ones = part.count(1)
        if ones == length:
            counts[bit:bit_end] = bytes(length)
            return -length, min(none_free_before, bit)
        for at, few in enumerate(part, bit):
            if few < MANY:
                counts[at] = few - 1
                if few == 1:
                    none_free_before = min(none_free_before, at)
                continue
            node, index = self._overwrite_many(block + at - bit)
            if node.values[index] > MANY:
                node.values[index] -= 1
                continue
            root = self._many.remove(self._many_root, block + at - bit)
            if root is None:
                raise MetadataDamagedError(f"the count of block {block + at - bit} is missing")
            self._many_root = root
            counts[at] = MANY - 1
        return -ones, none_free_before

    def _insert_many(self, block: int, count: int) -> None:
        self._many_root, _ = self._many.insert(self._many_root, block, count)

    def _overwrite_many(self, block: int) -> tuple[Node, int]:
        self._many_root, node, index = self._many.leaf_to_overwrite(self._many_root, block)
        return node, index

    def _count_in_tree(self, block: int) -> int:
        count: int | None = self._many.lookup(self._many_root, block)
        if count is None:
            raise MetadataDamagedError(f"the count of block {block} is missing")
        return count

    def _save(self, number: int, entry: IndexEntry) -> None:
        self.index_changed = True
        self.index.save(number, entry)


def find_free_in_both(committed: BlockCounts, running: BlockCounts, begin: int) -> int | None:
    """Return the first block from *begin* on that is free now and was free at the last commit.

    Returns None if there is none up to the end (sm_ll_find_common_free_block).
    """
    end = running.nr_blocks
    for number in range(begin // ENTRIES_PER_BITMAP, -(-end // ENTRIES_PER_BITMAP)):
        base = number * ENTRIES_PER_BITMAP
        entry = running.index.load(number)
        if not entry.nr_free:
            continue
        counts = running.bitmap(number).counts
        bit_end = min(end - base, ENTRIES_PER_BITMAP)
        bit = counts.find(0, max(begin - base, 0, entry.none_free_before), bit_end)
        if bit < 0:
            continue
        if base + bit >= committed.nr_blocks:
            return base + bit
        before = committed.bitmap(number).counts
        if before[bit]:
            either = int.from_bytes(counts, "little") | int.from_bytes(before, "little")
            bit = either.to_bytes(ENTRIES_PER_BITMAP, "little").find(0, bit + 1, bit_end)
            if bit < 0:
                continue
        return base + bit
    return None
