"""The mappings of one thin device: virtual block to (data block, time).

The store is a dictionary of the kernel's packed values (dm-thin-metadata.c, pack_block_time). A copy
shares the dictionary until either side changes it, so that a snapshot costs nothing here.
"""

import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

TIME_BITS = 24
MAX_TIME = (1 << TIME_BITS) - 1


@dataclass(frozen=True, slots=True)
class Run:
    """*length* consecutive virtual blocks on consecutive data blocks, all mapped at the same time."""

    vblock: int
    data_block: int
    length: int
    time: int


class Mappings:
    """Virtual block to data block and time, of one device."""

    def __init__(self, runs: Iterable[Run] = ()) -> None:
        self._packed: dict[int, int] = {}
        self._shared = False
        self._compressed: bytes | None = None
        self._highest: int | None = None
        for run in runs:
            vblocks = range(run.vblock, run.vblock + run.length)
            first = pack(run.data_block, run.time)
            values = range(first, first + (run.length << TIME_BITS), 1 << TIME_BITS)
            self._packed.update(zip(vblocks, values, strict=True))
        self._find_highest()

    def __len__(self) -> int:
        return len(self._packed)

    @property
    def highest(self) -> int | None:
        """The highest mapped virtual block; None when nothing is mapped."""
        return self._highest

    def get(self, vblock: int) -> int | None:
        """Return the packed data block and time of *vblock* (see ``unpack``), None when unmapped."""
        return self._packed.get(vblock)

    def insert(self, vblock: int, data_block: int, time: int) -> int | None:
        """Map *vblock*; returns the data block it was mapped to before."""
        packed = self._own()
        old = packed.get(vblock)
        packed[vblock] = pack(data_block, time)
        if self._highest is None or vblock > self._highest:
            self._highest = vblock
        return None if old is None else old >> TIME_BITS

    def remove(self, begin: int, end: int) -> list[int]:
        """Unmap the virtual blocks from *begin* to before *end*; returns their data blocks in order."""
        vblocks = self._within(begin, end)
        if not vblocks:
            return []
        packed = self._own()
        blocks = [packed.pop(vblock) >> TIME_BITS for vblock in vblocks]
        if vblocks[-1] == self._highest:
            self._find_highest()
        return blocks

    def runs(self, begin: int = 0, end: int | None = None) -> Iterator[Run]:
        """Yield the mappings from *begin* up to *end* in ascending order, longest runs possible."""
        packed = self._packed
        step = 1 << TIME_BITS
        first = length = value = 0
        for vblock in self._within(begin, end):
            now = packed[vblock]
            if length and vblock == first + length and now == value + length * step:
                length += 1
                continue
            if length:
                yield Run(first, value >> TIME_BITS, length, value & MAX_TIME)
            first, length, value = vblock, 1, now
        if length:
            yield Run(first, value >> TIME_BITS, length, value & MAX_TIME)

    def data_blocks(self) -> Iterator[int]:
        """Yield the data block of each mapping, in no order."""
        return (packed >> TIME_BITS for packed in self._packed.values())

    def copy(self) -> "Mappings":
        """Return an independent copy."""
        other = Mappings()
        other._packed = self._packed
        other._compressed = self._compressed
        other._highest = self._highest
        other._shared = self._shared = True
        return other

    def compressed(self) -> bytes:
        """Return all runs, four little-endian 64-bit numbers each, deflated; kept until a mapping changes."""
        if self._compressed is None:
            numbers = array("Q")
            for run in self.runs():
                numbers.extend((run.vblock, run.data_block, run.length, run.time))
            if sys.byteorder == "big":
                numbers.byteswap()
            self._compressed = zlib.compress(numbers.tobytes(), 1)
        return self._compressed

    def _own(self) -> dict[int, int]:
        """Return the dictionary for a change."""
        if self._shared:
            self._packed = dict(self._packed)
            self._shared = False
        self._compressed = None
        return self._packed

    def _within(self, begin: int, end: int | None) -> list[int]:
        packed = self._packed
        if self._highest is None:
            return []
        end = self._highest + 1 if end is None else min(end, self._highest + 1)
        if end - begin <= len(packed):
            return [vblock for vblock in range(begin, end) if vblock in packed]
        return sorted(vblock for vblock in packed if begin <= vblock < end)

    def _find_highest(self) -> None:
        self._highest = max(self._packed, default=None)


def pack(data_block: int, time: int) -> int:
    """Pack as the kernel does: data block above, 24 bits of time below."""
    return data_block << TIME_BITS | time


def unpack(packed: int) -> tuple[int, int]:
    """Return (data block, time) of a packed value."""
    return packed >> TIME_BITS, packed & MAX_TIME
