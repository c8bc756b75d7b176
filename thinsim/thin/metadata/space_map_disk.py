"""`DataSpaceMap` counts references to data blocks and allocates free ones (dm-space-map-disk.c).

It allocates only a block that is free in the running transaction *and* was free at the last commit. So a
block freed in a transaction is not reused before a commit makes that durable. The search goes upward from
a cursor that commits do not reset.
"""

from thinsim.thin.metadata.bitmap_index import TreeIndex
from thinsim.thin.metadata.counting import BlockCounts, find_free_in_both
from thinsim.thin.metadata.shadowing import TransactionManager
from thinsim.thin.metadata.superblock import SpaceMapRoot


class DataSpaceMap:
    """A `DataSpaceMap` opens the map at the saved *root*, or creates an empty one if *root* is None."""

    def __init__(self, manager: TransactionManager, root: SpaceMapRoot | None = None) -> None:
        index = TreeIndex(manager, 0 if root is None else root.bitmap_root)
        self.counts = BlockCounts(manager, index, root or SpaceMapRoot())
        if root is None:
            self.counts.create()
        self._committed = self.counts.committed()
        self._cursor = 0

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
        block = find_free_in_both(self._committed, self.counts, self._cursor)
        if block is None:
            block = find_free_in_both(self._committed, self.counts, 0)
        if block is None:
            return None
        self._cursor = block + 1
        self.counts.increment(block, block + 1)
        return block

    def commit(self) -> None:
        """Write the index and make the present state that of the last commit."""
        self.counts.commit()
        self._committed = self.counts.committed()
