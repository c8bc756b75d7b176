"""Passdown sends the freed pieces of a discard to the data device (dm-thin.c, process_discard_bio).

The functions here compute those pieces from block numbers; none of them changes a mapping.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from thinsim.thin.mapping import Run
from thinsim.thin.sharing import is_shared

MAX_RANGE = 1024
"""The largest number of blocks in one piece (dm-bio-prison-v1.h, BIO_PRISON_MAX_RANGE)."""


class DiscardRun(NamedTuple):
    """A `DiscardRun` has *length* mapped blocks, consecutive in the thin device and in the pool.

    Either all of them are shared or none is.
    """

    vblock: int
    data_block: int
    length: int
    shared: bool


def whole_blocks(offset: int, length: int, block_size: int) -> tuple[int, int]:
    """Return the first block wholly inside a byte range and the one after the last; equal if none is."""
    begin = -(-offset // block_size)
    return begin, max(begin, (offset + length) // block_size)


def cut(runs: Iterable[Run], snapshotted_time: int) -> Iterator[DiscardRun]:
    """Join adjacent *runs* (ascending) with the same shared flag, then cut them at multiples of 1024.

    A mapping counts as shared if it is older than its device's last snapshot. The cuts are at multiples
    of 1024 virtual blocks, the longest discard a thin device takes, and of 1024 data blocks
    (dm-thin.c, break_up_discard_bio).
    """
    first = data = length = 0
    shared = False
    for run in runs:
        run_shared = is_shared(run.time, snapshotted_time)
        if length and (run.vblock, run.data_block, run_shared) == (first + length, data + length, shared):
            length += run.length
            continue
        yield from _pieces(first, data, length, shared)
        first, data, length, shared = run.vblock, run.data_block, run.length, run_shared
    yield from _pieces(first, data, length, shared)


def unreferenced(run: DiscardRun, only_ours: Callable[[int], bool]) -> Iterator[tuple[int, int]]:
    """Yield (data block, length) pairs: the parts of *run* to pass down.

    An unshared run is passed down whole. A shared run omits each block for which *only_ours* returns
    False (dm-thin.c, passdown_double_checking_shared_status).
    """
    if not run.shared:
        yield run.data_block, run.length
        return
    end = run.data_block + run.length
    start = run.data_block
    for block in range(start, end):
        if not only_ours(block):
            if start < block:
                yield start, block - start
            start = block + 1
    if start < end:
        yield start, end - start


def requests(pieces: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Merge the *pieces* of one discard into the (data block, length) requests that the data device gets.

    The pieces share a plug (dm-thin.c, process_thin_deferred_bios). The block layer merges a discard in a
    plug with the last one if it is adjacent to it, before or after (blk-merge.c, blk_attempt_plug_merge).
    """
    last: tuple[int, int] | None = None
    for block, length in pieces:
        if last is not None and block == last[0] + last[1]:
            last = last[0], last[1] + length
        elif last is not None and block + length == last[0]:
            last = block, length + last[1]
        else:
            if last is not None:
                yield last
            last = block, length
    if last is not None:
        yield last


def _pieces(vblock: int, data: int, length: int, shared: bool) -> Iterator[DiscardRun]:
    while length:
        piece = min(length, MAX_RANGE - vblock % MAX_RANGE, MAX_RANGE - data % MAX_RANGE)
        yield DiscardRun(vblock, data, piece, shared)
        vblock, data, length = vblock + piece, data + piece, length - piece
