"""Passdown tells which pieces of a discard go down to the data device together (process_discard_bio).

Pure functions over block numbers; nothing here changes a mapping.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from thinsim.thin.mapping import Run
from thinsim.thin.sharing import is_shared

MAX_RANGE = 1024
"""Most blocks in one piece (dm-bio-prison-v1.h, BIO_PRISON_MAX_RANGE)."""


class DiscardRun(NamedTuple):
    """*length* mapped blocks, consecutive in the thin device and in the pool, all shared or none."""

    vblock: int
    data_block: int
    length: int
    shared: bool


def whole_blocks(offset: int, length: int, block_size: int) -> tuple[int, int]:
    """Return the first block wholly inside a byte range, and the one after the last; equal when none is."""
    begin = -(-offset // block_size)
    return begin, max(begin, (offset + length) // block_size)


def cut(runs: Iterable[Run], snapshotted_time: int) -> Iterator[DiscardRun]:
    """Join *runs* (ascending) that continue each other with the same shared flag; cut at multiples of 1024.

    A mapping counts as shared when it is older than its device's last snapshot; the cuts are at
    multiples of 1024 virtual blocks (the longest discard a thin device takes) and data blocks
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
    """Yield (data block, length) of the parts of *run* to pass down.

    The flag of an unshared run is believed; in a shared one each block for which *only_ours* says no
    is left out (dm-thin.c, passdown_double_checking_shared_status).
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
    """Yield the (data block, length) that *pieces* of one discard are when they get to the data device.

    They are plugged together (dm-thin.c, process_thin_deferred_bios), and there the block layer puts a
    discard that goes on before or behind the last one into that (blk-merge.c, blk_attempt_plug_merge).
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
