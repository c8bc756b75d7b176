"""The steps that put a write on its data blocks: prepare new blocks, then write, adjacent pieces joined."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from thinsim.thin.plan import CopyData, WriteData, ZeroData


class Insert(NamedTuple):
    """A mapping to come: *vblock* to *data_block* instead of *old_block*, None if unmapped."""

    vblock: int
    data_block: int
    old_block: int | None


def prepare_steps(
    inserts: Sequence[Insert], offset: int, length: int, block_size: int, *, zero: bool
) -> Iterator[ZeroData | CopyData]:
    """Yield what makes each new block whole before the write of *length* bytes at *offset*.

    A block that the write covers needs nothing; else a block that breaks sharing is copied, and a
    provisioned one zeroed if *zero* (dm-thin.c, schedule_copy, schedule_zero).
    """
    source: int | None = None
    start = count = 0
    for vblock, data_block, old_block in inserts:
        begin = vblock * block_size
        covered = offset <= begin and begin + block_size <= offset + length
        if covered or (old_block is None and not zero):
            continue
        data = data_block * block_size
        old = None if old_block is None else old_block * block_size
        continues = source is None if old is None else source is not None and source + count == old
        if count and data == start + count and continues:
            count += block_size
            continue
        if count:
            yield _prepare(source, start, count)
        source, start, count = old, data, block_size
    if count:
        yield _prepare(source, start, count)


def write_steps(targets: Sequence[int], offset: int, length: int, block_size: int) -> Iterator[WriteData]:
    """Yield the write of *length* bytes at *offset*; *targets* are the data blocks, one a virtual block."""
    end = offset + length
    position = offset
    request = start = count = 0
    for target in targets:
        within = position % block_size
        piece = min(block_size - within, end - position)
        data = target * block_size + within
        if count and start + count == data:
            count += piece
        else:
            if count:
                yield WriteData(request, start, count)
            request, start, count = position - offset, data, piece
        position += piece
    if count:
        yield WriteData(request, start, count)


def _prepare(source: int | None, start: int, count: int) -> ZeroData | CopyData:
    return ZeroData(start, count) if source is None else CopyData(source, start, count)
