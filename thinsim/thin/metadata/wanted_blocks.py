"""`WantedBlocks` numbers the data blocks of some runs, so that arrays can have a value for each."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from thinsim.thin.metadata.free_runs import BlockRun

MOST_DATA_BLOCKS = 1 << 23
"""The most blocks that are numbered: 512 GiB in blocks of 64 KiB."""


class WantedBlocks:
    """A `WantedBlocks` has the blocks of sorted, disjoint runs, up to the first *most*."""

    def __init__(self, runs: Iterable[BlockRun], most: int = MOST_DATA_BLOCKS) -> None:
        kept: list[BlockRun] = []
        self.total = 0
        """The number of blocks."""
        self.cut = False
        """True if the runs have more blocks."""
        for begin, end in runs:
            if self.total == most:
                self.cut = True
                break
            last = min(end, begin + most - self.total)
            kept.append((begin, last))
            self.total += last - begin
            self.cut |= last < end
        self.runs: Sequence[BlockRun] = kept
        self._begins = [begin for begin, _ in kept]
        self._offsets = [0, *accumulate(end - begin for begin, end in kept)]

    def place(self, block: int) -> int | None:
        """Return the number of *block* among all, from 0 on; None if it is not wanted."""
        at = bisect_right(self._begins, block) - 1
        if at < 0 or block >= self.runs[at][1]:
            return None
        return self._offsets[at] + block - self._begins[at]
