"""Copy-on-write changes shadows, never the last transaction's blocks (dm-transaction-manager.c)."""

from collections.abc import Iterable
from typing import Protocol

from thinsim.thin.metadata.blocks import B, Block, BlockCache


class CountsBlocks(Protocol):
    """What a transaction asks of the metadata space map."""

    def new_block(self) -> int:
        """Take a free block; NoMetadataSpaceError."""

    def increment(self, begin: int, end: int) -> None:
        """Add a reference to the blocks from *begin* to before *end*."""

    def decrement(self, begin: int, end: int) -> None:
        """Drop a reference to the blocks from *begin* to before *end*."""

    def count(self, block: int) -> int:
        """Return the references to *block*."""

    def is_shared(self, block: int) -> bool:
        """Return whether *block* has more than one reference, or may have."""


class TransactionManager:
    """Gives out new blocks and shadows; *space* is set once the metadata space map stands."""

    space: CountsBlocks

    def __init__(self, blocks: BlockCache) -> None:
        self.blocks = blocks
        self._shadows: set[int] = set()

    def new_block(self, content: Block) -> int:
        """Return the number of a new block with *content*; NoMetadataSpaceError."""
        number = self.space.new_block()
        self.blocks.put(number, content)
        self._shadows.add(number)
        return number

    def shadow(self, original: int, kind: type[B]) -> tuple[int, B, bool]:
        """Return (number, block, shared) of a version of *original* that may be changed.

        The caller puts the new number where the old one stood, and when *shared* adds a reference to
        whatever the block points to: both versions do now (dm_tm_shadow_block).
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

    def increment_all(self, numbers: Iterable[int]) -> None:
        """Add a reference to each block, consecutive ones together (dm_tm_with_runs)."""
        for begin, end in runs(numbers):
            self.space.increment(begin, end)

    def decrement_all(self, numbers: Iterable[int]) -> None:
        """Drop a reference to each block, consecutive ones together."""
        for begin, end in runs(numbers):
            self.space.decrement(begin, end)

    def end(self) -> None:
        """The transaction is durable: its blocks are shadows no more."""
        self._shadows.clear()


def runs(numbers: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Yield (first, one past the last) of each stretch of *numbers* that counts up by one."""
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
