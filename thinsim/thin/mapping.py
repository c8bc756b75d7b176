"""A mapping assigns a data block and a time to one virtual block; a run joins consecutive mappings."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from thinsim.errors import ThinsimError

TIME_BITS = 24
MAX_TIME = (1 << TIME_BITS) - 1


@dataclass(frozen=True, slots=True)
class Run:
    """A `Run` maps *length* consecutive virtual blocks to consecutive data blocks, all at the same time."""

    vblock: int
    """The first virtual block."""
    data_block: int
    """The data block of the first."""
    length: int
    """The number of blocks."""
    time: int
    """The pool's time at which they were mapped."""


class Insert(NamedTuple):
    """An `Insert` will map *vblock* to *data_block*; *old_block* is mapped now, None if there is none."""

    vblock: int
    data_block: int
    old_block: int | None


def pack(data_block: int, time: int) -> int:
    """Pack a data block above 24 bits of time, as the kernel does (pack_block_time)."""
    return data_block << TIME_BITS | time


def unpack(packed: int) -> tuple[int, int]:
    """Return the (data block, time) pair of a packed value."""
    return packed >> TIME_BITS, packed & MAX_TIME


def join(entries: Iterable[tuple[int, int]]) -> Iterator[Run]:
    """Join ascending (virtual block, packed value) pairs into the longest runs possible.

    When *entries* raises a ThinsimError, the run of the entries before it is yielded first.
    """
    step = 1 << TIME_BITS
    first = length = value = 0
    failure: ThinsimError | None = None
    try:
        for vblock, packed in entries:
            if length and vblock == first + length and packed == value + length * step:
                length += 1
                continue
            if length:
                yield Run(first, value >> TIME_BITS, length, value & MAX_TIME)
            first, length, value = vblock, 1, packed
    except ThinsimError as error:
        failure = error
    if length:
        yield Run(first, value >> TIME_BITS, length, value & MAX_TIME)
    if failure is not None:
        raise failure
