"""`TransactionManager` copies a committed block to a shadow before a change (dm-transaction-manager.c)."""

from collections.abc import Iterable
from typing import Protocol

from thinsim.thin.metadata.blocks import B, Block, BlockCache


class CountsBlocks(Protocol):
    """A `CountsBlocks` counts the references to metadata blocks: the metadata space map, for a pool."""

    def new_block(self) -> int:
        """Allocate a free block and return its number; NoMetadataSpaceError."""

    def increment(self, begin: int, end: int) -> None:
        """Add a reference to the blocks from *begin* to before *end*."""

    def decrement(self, begin: int, end: int) -> None:
        """Drop a reference to the blocks from *begin* to before *end*."""

    def count(self, block: int) -> int:
        """Return the number of references to *block*."""

    def is_shared(self, block: int) -> bool:
        """Return whether *block* has, or may have, more than one reference."""


class TransactionManager:
    """A `TransactionManager` allocates new blocks and shadows.

    The metadata space map sets *space* to itself when it is created.
    """

    space: CountsBlocks

    def __init__(self, blocks: BlockCache) -> None:
        self.blocks = blocks
        self._shadows: set[int] = set()
        self.turn = 0
        """The number of changes, other than insertions, that end what is known about a tree's nodes."""

    def new_block(self, content: Block) -> int:
        """Return the number of a new block with *content*; NoMetadataSpaceError."""
        number = self.space.new_block()
        self.blocks.put(number, content)
        self._shadows.add(number)
        return number

    def shadow(self, original: int, kind: type[B]) -> tuple[int, B, bool]:
        """Return (number, block, shared) for a version of *original* that may be changed.

        The caller replaces the old number by the new one. If *shared*, both versions are in use, so the
        caller adds a reference to each block that this block points to (dm_tm_shadow_block).
        """
        shared = self.space.is_shared(original)
        if original in self._shadows and not shared:
            return original, self.blocks.change(original, kind), False
        number = self.space.new_block()
        self.space.decrement(original, original + 1)
        block = self.blocks.get(original, kind).copy()
        self.blocks.put(number, block)
        self._shadows.add(number)
        return number, block, shared

    def is_shadow(self, block: int) -> bool:
        """Return whether *block* may be changed as it is: :meth:`shadow` returns the same block."""
        return block in self._shadows and not self.space.is_shared(block)

    def increment_all(self, numbers: Iterable[int]) -> None:
        """Add a reference to each block, one call per run of consecutive blocks (dm_tm_with_runs)."""
        for begin, end in runs(numbers):
            self.space.increment(begin, end)

    def decrement_all(self, numbers: Iterable[int]) -> None:
        """Drop a reference to each block, one call per run of consecutive blocks."""
        for begin, end in runs(numbers):
            self.space.decrement(begin, end)

    def end(self) -> None:
        """End the transaction, which is durable: a change of its blocks needs new shadows."""
        self._shadows.clear()
        self.turn += 1


def runs(numbers: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Yield a (first, one past the last) pair per run of consecutive *numbers*."""
    begin = end = None
    for number in numbers:
        if number == end:
            end += 1
            continue
        if begin is not None and end is not None:
            yield begin, end
        begin, end = number, number + 1
    if begin is not None and end is not None:
        yield begin, end
