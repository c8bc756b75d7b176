"""The data space map tells which data blocks are free, and gives out the next (dm-space-map-disk.c).

A block is given out when it is free in the running transaction *and* was at the last commit, searched
upward from a cursor that survives commits. Space freed in a transaction is thus not reused before the
commit that makes it durable.
"""

from thinsim.thin.metadata.bitmap_index import TreeIndex
from thinsim.thin.metadata.counting import BlockCounts, find_free_in_both
from thinsim.thin.metadata.shadowing import TransactionManager
from thinsim.thin.metadata.superblock import SpaceMapRoot


class DataSpaceMap:
    """References to data blocks. *root* as saved; None makes an empty map."""

    def __init__(self, manager: TransactionManager, root: SpaceMapRoot | None = None) -> None:
        index = TreeIndex(manager, 0 if root is None else root.bitmap_root)
        self.counts = BlockCounts(manager, index, root or SpaceMapRoot())
        if root is None:
            self.counts.create()
        self._committed = self.counts.committed()
        self._cursor = 0

    @property
    def nr_blocks(self) -> int:
        """Blocks at the last commit: growth shows once it is durable."""
        return self._committed.nr_blocks

    @property
    def nr_blocks_running(self) -> int:
        """Blocks of the running transaction."""
        return self.counts.nr_blocks

    @property
    def nr_free(self) -> int:
        """Blocks of the last commit that are free now; frees and allocations since then count at once."""
        return self._committed.nr_blocks - self.counts.nr_allocated

    @property
    def nr_allocated(self) -> int:
        """Blocks in use now."""
        return self.counts.nr_allocated

    def extend(self, blocks: int) -> None:
        """Add *blocks* free blocks."""
        self.counts.extend(blocks)

    def count(self, block: int) -> int:
        """Return the references to *block*."""
        return self.counts.count(block)

    def count_at_commit(self, block: int) -> int:
        """Return the references that *block* had at the last commit."""
        return self._committed.count(block) if block < self._committed.nr_blocks else 0

    def increment(self, begin: int, end: int) -> None:
        """Add a reference to the blocks from *begin* to before *end*."""
        self.counts.increment(begin, end)

    def decrement(self, begin: int, end: int) -> None:
        """Drop a reference to the blocks from *begin* to before *end*."""
        self.counts.decrement(begin, end)

    def allocate(self) -> int | None:
        """Take the next block that is free in both views; None when there is none before a commit."""
        block = find_free_in_both(self._committed, self.counts, self._cursor)
        if block is None:
            block = find_free_in_both(self._committed, self.counts, 0)
        if block is None:
            return None
        self._cursor = block + 1
        self.counts.increment(block, block + 1)
        return block

    def commit(self) -> None:
        """Write the index; what is free now is what was free at the last commit from here on."""
        self.counts.commit()
        self._committed = self.counts.committed()
