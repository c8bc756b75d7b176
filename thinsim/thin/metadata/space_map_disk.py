"""`DataSpaceMap` counts references to data blocks and allocates free ones (dm-space-map-disk.c).

It allocates only a block that is free in the running transaction *and* was free at the last commit. So a
block freed in a transaction is not reused before a commit makes that durable. The search goes upward from
a cursor that commits do not reset.
"""

from typing import NamedTuple

from thinsim.thin.metadata.bitmap_index import TreeIndex
from thinsim.thin.metadata.counting import BlockCounts, find_free_in_both
from thinsim.thin.metadata.shadowing import TransactionManager
from thinsim.thin.metadata.store import ENTRIES_PER_BITMAP
from thinsim.thin.metadata.superblock import SpaceMapRoot


class _OpenBitmap(NamedTuple):
    """An `_OpenBitmap` is a shadow, from which blocks are taken one after the other without a search."""

    number: int
    now: bytearray
    before: bytearray
    """The counts at the last commit."""
    turn: int


class DataSpaceMap:
    """A `DataSpaceMap` opens the map at the saved *root*, or creates an empty one if *root* is None."""

    def __init__(self, manager: TransactionManager, root: SpaceMapRoot | None = None) -> None:
        index = TreeIndex(manager, 0 if root is None else root.bitmap_root)
        self.counts = BlockCounts(manager, index, root or SpaceMapRoot())
        if root is None:
            self.counts.create()
        self._committed = self.counts.committed()
        self._cursor = 0
        self._manager = manager
        self._open: _OpenBitmap | None = None

    @property
    def nr_blocks(self) -> int:
        """Return the number of blocks at the last commit; growth counts once it is durable."""
        return self._committed.nr_blocks

    @property
    def nr_blocks_running(self) -> int:
        """Return the number of blocks in the running transaction."""
        return self.counts.nr_blocks

    @property
    def nr_free(self) -> int:
        """Return the blocks of the last commit less those used now; frees and allocations count at once."""
        return self._committed.nr_blocks - self.counts.nr_allocated

    @property
    def nr_allocated(self) -> int:
        """Return the number of blocks in use now."""
        return self.counts.nr_allocated

    def extend(self, blocks: int) -> None:
        """Add *blocks* free blocks."""
        self.counts.extend(blocks)

    def count(self, block: int) -> int:
        """Return the number of references to *block*."""
        return self.counts.count(block)

    def count_at_commit(self, block: int) -> int:
        """Return the number of references to *block* at the last commit."""
        return self._committed.count(block) if block < self._committed.nr_blocks else 0

    def increment(self, begin: int, end: int) -> None:
        """Add a reference to the blocks from *begin* to before *end*."""
        self.counts.increment(begin, end)

    def decrement(self, begin: int, end: int) -> None:
        """Drop a reference to the blocks from *begin* to before *end*."""
        self.counts.decrement(begin, end)

    def allocate(self) -> int | None:
        """Allocate the next block that is free now and was free at the last commit; None if there is none."""
        if self._take_next():
            return self._cursor - 1
        block = find_free_in_both(self._committed, self.counts, self._cursor)
        if block is None:
            block = find_free_in_both(self._committed, self.counts, 0)
        if block is None:
            return None
        self._cursor = block + 1
        self.counts.increment(block, block + 1)
        self._open = self._opened(block // ENTRIES_PER_BITMAP)
        return block

    def _take_next(self) -> bool:
        """Allocate the block at the cursor; return False if only a search can find the next one."""
        bitmap = self._open
        if bitmap is None or bitmap.turn != self._manager.turn:
            return False
        number, bit = divmod(self._cursor, ENTRIES_PER_BITMAP)
        if number != bitmap.number or self._cursor >= self._committed.nr_blocks:
            return False
        if bitmap.now[bit] or bitmap.before[bit]:
            return False
        self._manager.blocks.check_writable()
        self.counts.take_free(number, bit, bitmap.now)
        self._cursor += 1
        return True

    def _opened(self, number: int) -> _OpenBitmap | None:
        if number * ENTRIES_PER_BITMAP >= self._committed.nr_blocks:
            return None  # there was no such bitmap at the last commit
        now, before = self.counts.bitmap(number).counts, self._committed.bitmap(number).counts
        return _OpenBitmap(number, now, before, self._manager.turn)

    def commit(self) -> None:
        """Write the index and make the present state that of the last commit."""
        self.counts.commit()
        self._committed = self.counts.committed()
