"""`InFlight` counts the references to data blocks that outstanding requests hold, not mappings."""

from collections.abc import Iterable, Iterator


class InFlight:
    """An `InFlight` holds a count per data block; iterating it yields the blocks with at least one."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(self._counts)

    def count(self, block: int) -> int:
        """Return the number of references held to *block*."""
        return self._counts.get(block, 0)

    def add(self, blocks: Iterable[int]) -> None:
        """Add one reference to each of *blocks*."""
        counts = self._counts
        for block in blocks:
            counts[block] = counts.get(block, 0) + 1

    def remove(self, blocks: Iterable[int]) -> None:
        """Remove one reference from each of *blocks*; KeyError if a block has none."""
        counts = self._counts
        for block in blocks:
            left = counts[block] - 1
            if left:
                counts[block] = left
            else:
                del counts[block]
