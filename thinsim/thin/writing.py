"""A write has two kinds of steps, joined where adjacent: prepare new blocks, then write data."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from thinsim.thin.mapping import Insert
from thinsim.thin.plan import CopyData, CopyOrigin, PlanStep, WriteData, ZeroData
from thinsim.thin.sharing import break_sharing

Preparation = ZeroData | CopyData | CopyOrigin


class BlockWrite(NamedTuple):
    """A `BlockWrite` is the part of a write in one block: *length* bytes of the request, from *begin* on.

    *insert* is the mapping to insert, or None if the block is already mapped.
    """

    begin: int
    length: int
    steps: list[PlanStep]
    insert: Insert | None


def prepare_steps(
    inserts: Sequence[Insert],
    offset: int,
    length: int,
    block_size: int,
    *,
    zero: bool,
    origin_bytes: int = 0,
) -> Iterator[Preparation]:
    """Yield the steps that fill each new block before the write of *length* bytes at *offset*.

    A block that the write covers needs none. A block that breaks sharing is copied. A provisioned block is
    copied from the external origin up to its end; with *zero*, the rest is zeroed (dm-thin.c,
    schedule_copy, schedule_external_copy, schedule_zero).
    """
    last: Preparation | None = None
    for insert in inserts:
        begin = insert.vblock * block_size
        if offset <= begin and begin + block_size <= offset + length:
            continue
        for step in _prepare(insert, block_size, zero, origin_bytes):
            joined = None if last is None else _join(last, step)
            if joined is None and last is not None:
                yield last
            last = joined or step
    if last is not None:
        yield last


def write_steps(targets: Sequence[int], offset: int, length: int, block_size: int) -> Iterator[WriteData]:
    """Yield the steps that write *length* bytes at *offset*; *targets* has a data block per virtual block."""
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


def block_writes(
    targets: Sequence[int],
    inserts: Sequence[Insert],
    offset: int,
    length: int,
    block_size: int,
    *,
    zero: bool,
    origin_bytes: int,
) -> Iterator[BlockWrite]:
    """Yield the write of *length* bytes at *offset*, block by block; *targets* as in :func:`write_steps`."""
    by_vblock = {insert.vblock: insert for insert in inserts}
    first = offset // block_size
    for vblock, target in enumerate(targets, first):
        begin, end = max(offset, vblock * block_size), min(offset + length, (vblock + 1) * block_size)
        insert = by_vblock.get(vblock)
        steps: list[PlanStep] = list(
            prepare_steps(
                [] if insert is None else [insert],
                begin,
                end - begin,
                block_size,
                zero=zero,
                origin_bytes=origin_bytes,
            )
        )
        steps += write_steps([target], begin, end - begin, block_size)
        yield BlockWrite(begin - offset, end - begin, steps, insert)


def _prepare(insert: Insert, block_size: int, zero: bool, origin_bytes: int) -> Iterator[Preparation]:
    begin, data = insert.vblock * block_size, insert.data_block * block_size
    if insert.old_block is not None:
        yield break_sharing(insert.old_block, insert.data_block, block_size)
        return
    from_origin = max(0, min(block_size, origin_bytes - begin))
    if from_origin:
        yield CopyOrigin(begin, data, from_origin)
    if zero and from_origin < block_size:
        yield ZeroData(data + from_origin, block_size - from_origin)


def _join(one: Preparation, other: Preparation) -> Preparation | None:
    """Return both as one step if *other* begins where *one* ends, else None."""
    if one.data_offset + one.length != other.data_offset:
        return None
    length = one.length + other.length
    match one, other:
        case ZeroData(), ZeroData():
            return ZeroData(one.data_offset, length)
        case CopyData(), CopyData() if one.source_offset + one.length == other.source_offset:
            return CopyData(one.source_offset, one.data_offset, length)
        case CopyOrigin(), CopyOrigin() if one.origin_offset + one.length == other.origin_offset:
            return CopyOrigin(one.origin_offset, one.data_offset, length)
    return None
