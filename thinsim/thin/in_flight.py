"""InFlight counts the references to data blocks that requests under way hold, and no mapping."""

from collections.abc import Iterable, Iterator


class InFlight:
    """Counts by data block."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(self._counts)

    def count(self, block: int) -> int:
        """Return the references held to *block*."""
        return self._counts.get(block, 0)

    def add(self, blocks: Iterable[int]) -> None:
        """Hold one reference more to each of *blocks*."""
        counts = self._counts
        for block in blocks:
            counts[block] = counts.get(block, 0) + 1

    def remove(self, blocks: Iterable[int]) -> None:
        """Hold one reference less to each of *blocks*."""
        counts = self._counts
        for block in blocks:
            left = counts[block] - 1
            if left:
                counts[block] = left
            else:
                del counts[block]
