"""`free_runs` yields the runs of data blocks that the committed metadata names as free."""

import re
from collections.abc import Iterator

from thinsim.thin.metadata.counting import BlockCounts
from thinsim.thin.metadata.store import ENTRIES_PER_BITMAP

BlockRun = tuple[int, int]
"""The first block of a run, and the block after its last."""

_FREE = re.compile(rb"\0+")


def free_runs(counts: BlockCounts, begin: int, end: int) -> Iterator[BlockRun]:
    """Yield the runs of blocks without a reference from *begin* to before *end*, in order.

    Adjacent runs are joined. A block that only the held root refers to is not free: the metadata snapshot
    counts its references (dm-thin-metadata.c, __reserve_metadata_snap). Blocks beyond the map are left out.
    MetadataDamagedError, ``OSError``.
    """
    end = min(end, counts.nr_blocks)
    pending: BlockRun | None = None
    for start, stop in _free_in_bitmaps(counts, begin, end):
        if pending is not None and pending[1] == start:
            pending = pending[0], stop
            continue
        if pending is not None:
            yield pending
        pending = start, stop
    if pending is not None:
        yield pending


def _free_in_bitmaps(counts: BlockCounts, begin: int, end: int) -> Iterator[BlockRun]:
    for number in range(begin // ENTRIES_PER_BITMAP, -(-end // ENTRIES_PER_BITMAP)):
        base = number * ENTRIES_PER_BITMAP
        first, last = max(begin - base, 0), min(end - base, ENTRIES_PER_BITMAP)
        if not counts.index.load(number).nr_free:
            continue
        for run in _FREE.finditer(counts.bitmap(number).counts, first, last):
            yield base + run.start(), base + run.end()
