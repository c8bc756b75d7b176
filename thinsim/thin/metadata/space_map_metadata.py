"""`MetadataSpaceMap` counts references to metadata blocks, including its own (dm-space-map-metadata.c).

A change of a count may need a new block. Changes requested while the map is busy are queued and carried
out afterwards, in order.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from thinsim.thin.metadata.bitmap_index import BlockIndex
from thinsim.thin.metadata.counting import MANY, BlockCounts, find_free_in_both
from thinsim.thin.metadata.errors import NoMetadataSpaceError
from thinsim.thin.metadata.shadowing import TransactionManager
from thinsim.thin.metadata.store import ENTRIES_PER_BITMAP, MAX_METADATA_BLOCKS, METADATA_BLOCK_SIZE
from thinsim.thin.metadata.superblock import LOCATION, SpaceMapRoot
from thinsim.units import Bytes, DataBlocks

_LEAST_BLOCKS = 11
"""The blocks of the superblock, the empty trees, the space maps, and their copies until the first commit."""


class MetadataSpaceMap:
    """A `MetadataSpaceMap` opens the map at *root* and sets itself as the space map of *manager*.

    Use ``create`` for a fresh device. *low_water* is called when an allocation leaves *low_water_blocks*
    free blocks or fewer and the allocation before left more (check_threshold).
    """

    def __init__(self, manager: TransactionManager, root: SpaceMapRoot) -> None:
        self.low_water_blocks: int | None = None
        self.low_water: Callable[[], None] | None = None
        self._free_before: int | None = None
        self._manager = manager
        self._busy = False
        # While set, blocks are allocated in sequence from a new area whose blocks are not counted yet.
        self._growing_to: int | None = None
        self._queue: deque[tuple[int, int, int]] = deque()
        self._cursor = 0
        self._allocated = 0
        manager.space = self
        self.counts = BlockCounts(manager, BlockIndex(manager, root.bitmap_root), root)
        self._committed = self.counts.committed()

    @classmethod
    def create(cls, manager: TransactionManager, blocks: int) -> "MetadataSpaceMap":
        """Create the map of a fresh device of *blocks* blocks (dm_sm_metadata_create).

        Raises NoMetadataSpaceError if the device is too small.
        """
        new = cls(manager, SpaceMapRoot())
        new._cursor = LOCATION + 1
        new._growing_to = min(blocks, MAX_METADATA_BLOCKS)
        new.counts.create()
        new.counts.extend(new._growing_to)
        new._growing_to = None
        new._queue.append((1, LOCATION, new._cursor))
        new._apply_queue()
        new.commit()
        return new

    @property
    def nr_blocks(self) -> int:
        """Return the number of blocks, including uncommitted growth."""
        return self.counts.nr_blocks

    @property
    def nr_free(self) -> int:
        """Return the blocks free at the last commit less those allocated since; later frees don't count."""
        return self._committed.nr_blocks - self._committed.nr_allocated - self._allocated

    def new_block(self) -> int:
        """Allocate a block that is free now and was free at the last commit; NoMetadataSpaceError."""
        if self._growing_to is not None:
            if self._cursor >= self._growing_to:
                raise NoMetadataSpaceError
            self._cursor += 1
            return self._cursor - 1
        block = find_free_in_both(self._committed, self.counts, self._cursor)
        if block is None:
            block = find_free_in_both(self._committed, self.counts, 0)
        if block is None:
            raise NoMetadataSpaceError
        self._cursor = block + 1
        self.increment(block, block + 1)
        self._allocated += 1
        self._check_low_water()
        return block

    def increment(self, begin: int, end: int) -> None:
        """Add a reference to the blocks from *begin* to before *end*."""
        self._do(1, begin, end)

    def decrement(self, begin: int, end: int) -> None:
        """Drop a reference to the blocks from *begin* to before *end*."""
        self._do(-1, begin, end)

    def count(self, block: int) -> int:
        """Return the number of references to *block*, including queued changes."""
        if self._growing_to is not None:
            return int(block < self._cursor)
        return self.counts.count(block) + self._queued(block)

    def is_shared(self, block: int) -> bool:
        """Return whether *block* has more than one reference.

        A bitmap value of three or more counts as shared, whatever the queue holds.
        """
        if self._growing_to is not None:
            return False
        queued = self._queued(block) if self._queue else 0
        if queued > 1:
            return True
        few = self.counts.count_in_bitmap(block)
        return few == MANY or few + queued > 1

    def extend(self, blocks: int) -> None:
        """Add *blocks* blocks; the bitmaps for them are allocated in the new area (sm_metadata_extend)."""
        counted = self.counts.nr_blocks
        self._cursor = counted
        self._growing_to = counted + blocks
        try:
            self.counts.extend(blocks)
            while True:
                self._queue.append((1, counted, self._cursor))
                counted = self._cursor
                self._apply_queue()
                self.counts.commit()
                if counted == self._cursor:
                    break
        finally:
            self._growing_to = None

    def commit(self) -> None:
        """Write the index and make the present state that of the last commit."""
        self.counts.commit()
        self._committed = self.counts.committed()
        self._allocated = 0

    def _do(self, sign: int, begin: int, end: int) -> None:
        if self._busy or self._growing_to is not None:
            self._queue.append((sign, begin, end))
            return
        with self._at_work():
            self._count(sign, begin, end)
            self._apply_queue()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _apply_queue(self) -> None:
        while self._queue:
            # Keep the entry in the queue until it is done, because ``count`` adds the queue (apply_bops).
            self._count(*self._queue[0])
            self._queue.popleft()

    def _count(self, sign: int, begin: int, end: int) -> None:
        if sign > 0:
            self.counts.increment(begin, end)
        else:
            self.counts.decrement(begin, end)

    def _queued(self, block: int) -> int:
        return sum(sign for sign, begin, end in self._queue if begin <= block < end)

    def _check_low_water(self) -> None:
        free, before, mark = self.nr_free, self._free_before, self.low_water_blocks
        self._free_before = free
        if self.low_water is None or mark is None or free > mark:
            return
        if before is None or before > mark:
            self.low_water()


def least_metadata(blocks: DataBlocks) -> Bytes:
    """Return the smallest metadata size, in bytes, that can hold and commit a pool of *blocks* data blocks.

    The size is exact up to about 2.7 million data blocks, whose bitmaps fit in one leaf of the index. A
    larger pool needs a few blocks more.
    """
    return Bytes((_LEAST_BLOCKS + -(-blocks // ENTRIES_PER_BITMAP)) * METADATA_BLOCK_SIZE)
