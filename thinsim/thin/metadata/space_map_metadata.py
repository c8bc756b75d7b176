"""The metadata space map counts the blocks that it is itself made of (dm-space-map-metadata.c).

Counting a block may need a block. What is asked while the map is at work is queued and done afterwards,
in order.
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
"""Superblock, empty trees, space maps of the metadata itself, and their copies until the first commit."""


class MetadataSpaceMap:
    """References to metadata blocks; sets itself as *manager*'s space map.

    Use ``create`` or ``open``. *low_water* is called on the edge: after an allocation that leaves
    *low_water_blocks* free blocks or fewer when the one before did not (check_threshold).
    """

    def __init__(self, manager: TransactionManager, root: SpaceMapRoot) -> None:
        self.low_water_blocks: int | None = None
        self.low_water: Callable[[], None] | None = None
        self._free_before: int | None = None
        self._manager = manager
        self._busy = False
        # While set, blocks are taken one after the other from a new area that nobody counts yet.
        self._growing_to: int | None = None
        self._queue: deque[tuple[int, int, int]] = deque()
        self._cursor = 0
        self._allocated = 0
        manager.space = self
        self.counts = BlockCounts(manager, BlockIndex(manager, root.bitmap_root), root)
        self._committed = self.counts.committed()

    @classmethod
    def create(cls, manager: TransactionManager, blocks: int) -> "MetadataSpaceMap":
        """Make the map of a fresh device of *blocks* blocks; NoMetadataSpaceError (dm_sm_metadata_create)."""
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
        """Blocks, growth that is not committed included."""
        return self.counts.nr_blocks

    @property
    def nr_free(self) -> int:
        """Free blocks: those of the last commit less those taken since; what was freed since isn't free."""
        return self._committed.nr_blocks - self._committed.nr_allocated - self._allocated

    def new_block(self) -> int:
        """Take a free block, free at the last commit, too; NoMetadataSpaceError."""
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
        """Return the references to *block*, those still queued included."""
        if self._growing_to is not None:
            return int(block < self._cursor)
        return self.counts.count(block) + self._queued(block)

    def is_shared(self, block: int) -> bool:
        """Return whether *block* has more than one reference; three or more are believed without a look."""
        if self._growing_to is not None:
            return False
        queued = self._queued(block) if self._queue else 0
        if queued > 1:
            return True
        few = self.counts.count_in_bitmap(block)
        return few == MANY or few + queued > 1

    def extend(self, blocks: int) -> None:
        """Add *blocks* blocks; the bitmaps that count them stand in the new area (sm_metadata_extend)."""
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
        """Write the index; what is free now is what was free at the last commit from here on."""
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
            # It stays in the queue while it is done: ``count`` adds what is queued (apply_bops).
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
    """Return bytes of metadata without which a pool of *blocks* data blocks can't be made and committed.

    Exact to some 2.7 million blocks, whose bitmaps one leaf names; above that a few blocks more are needed.
    """
    return Bytes((_LEAST_BLOCKS + -(-blocks // ENTRIES_PER_BITMAP)) * METADATA_BLOCK_SIZE)
