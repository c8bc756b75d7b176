"""The data space map: who is free, who is referenced how often, which block comes next.

Behaviour of the kernel's dm-space-map-disk.c: a block is handed out when its count is 0 in the
running transaction *and* was 0 at the last commit, searched upward from a cursor that survives
commits. Space freed in a transaction is thus not reused before the commit that makes it durable.
"""

from array import array

_RUNNING = 1
_COMMITTED = 2


class SpaceMap:
    """Reference counts of *nr_blocks* data blocks, running and committed view."""

    def __init__(self, nr_blocks: int) -> None:
        self._counts = array("I", bytes(4 * nr_blocks))
        # One byte a block: bit 0 in use now, bit 1 in use at the last commit; 0 can be handed out.
        self._use = bytearray(nr_blocks)
        self._touched: set[int] = set()
        self._sealed: list[tuple[int, int]] = []
        self._cursor = 0
        self._nr_allocated = 0
        self._nr_available = nr_blocks

    @property
    def nr_blocks(self) -> int:
        """Blocks in the running view."""
        return len(self._counts)

    @property
    def nr_allocated(self) -> int:
        """Blocks in use; allocations and frees of the running transaction count at once."""
        return self._nr_allocated

    @property
    def nr_free(self) -> int:
        """Blocks not in use now; some of them may only be handed out after a commit."""
        return len(self._counts) - self._nr_allocated

    @property
    def nr_available(self) -> int:
        """Blocks that ``allocate`` can hand out before the next commit."""
        return self._nr_available

    def count(self, block: int) -> int:
        """Return the references to *block*."""
        return self._counts[block]

    def allocate(self) -> int | None:
        """Take the next block that is free in both views, with one reference; None when there is none."""
        block = self._use.find(0, self._cursor)
        if block < 0:
            block = self._use.find(0, 0, self._cursor)
        if block < 0:
            return None
        self._cursor = block + 1
        self.increment(block)
        return block

    def increment(self, block: int) -> None:
        """Add a reference to *block*."""
        if not self._counts[block]:
            self._nr_allocated += 1
            self._set_use(block, self._use[block] | _RUNNING)
            self._touched.add(block)
        self._counts[block] += 1

    def increment_run(self, block: int, length: int) -> None:
        """Add a reference to each of *length* blocks from *block* on."""
        for one in range(block, block + length):
            self.increment(one)

    def decrement(self, block: int) -> None:
        """Drop a reference to *block*; the last one frees it."""
        count = self._counts[block]
        if not count:
            raise AssertionError(f"data block {block} has no reference to drop")
        self._counts[block] = count - 1
        if count == 1:
            self._nr_allocated -= 1
            self._set_use(block, self._use[block] & ~_RUNNING)
            self._touched.add(block)

    def seal(self) -> None:
        """Fix the view that the commit under way makes durable; later changes belong to the next one."""
        use = self._use
        self._sealed += [(block, use[block] & _RUNNING) for block in self._touched]
        self._touched.clear()

    def commit(self) -> None:
        """Make the sealed view the committed one."""
        for block, running in self._sealed:
            self._set_use(block, self._use[block] & _RUNNING | (_COMMITTED if running else 0))
        self._sealed.clear()

    def grow(self, nr_blocks: int) -> None:
        """Extend to *nr_blocks*, which may not be less than now."""
        added = nr_blocks - len(self._counts)
        if added < 0:
            raise AssertionError(f"a space map of {len(self._counts)} blocks can't become one of {nr_blocks}")
        self._counts.frombytes(bytes(4 * added))
        self._use.extend(bytes(added))
        self._nr_available += added

    def _set_use(self, block: int, use: int) -> None:
        self._nr_available += (not use) - (not self._use[block])
        self._use[block] = use
