"""`BestClaims` has the newest claim of a thin id to each wanted data block."""

from array import array
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from thinsim.thin.mapping import unpack
from thinsim.thin.metadata.stale_nodes import StaleLeaf
from thinsim.thin.metadata.wanted_blocks import WantedBlocks

_NOBODY = -1


class OwnedRun(NamedTuple):
    """An `OwnedRun` is a run of data blocks that *thin_id* mapped last."""

    begin: int
    end: int
    """The block after the last."""
    thin_id: int


class BestClaims:
    """A `BestClaims` has the newest claim to each wanted block, in arrays: there may be millions."""

    def __init__(self, wanted: WantedBlocks) -> None:
        self._wanted = wanted
        self._times = array("i", [-1]) * wanted.total
        self._orders = array("q", [-1]) * wanted.total
        self._vblocks = array("Q", [0]) * wanted.total
        self._thin_ids = array("i", [_NOBODY]) * wanted.total

    def add_times(self, leaf: StaleLeaf) -> None:
        """Keep the times of the mappings in *leaf*; only those with the newest time count."""
        for value in leaf.packed:
            data_block, time = unpack(value)
            place = self._wanted.place(data_block)
            if place is not None and time > self._times[place]:
                self._times[place] = time

    def add(self, leaf: StaleLeaf, thin_id: int, order: int) -> None:
        """Let *thin_id* claim the blocks of *leaf*; two devices with the same *order* have none of them."""
        for place, vblock in self._newest(leaf):
            if order > self._orders[place]:
                self._orders[place], self._vblocks[place] = order, vblock
                self._thin_ids[place] = thin_id
            elif order == self._orders[place] and thin_id != self._thin_ids[place]:
                self._thin_ids[place] = _NOBODY

    def contradict(self, leaf: StaleLeaf, order: int) -> None:
        """Drop the claims to blocks that *leaf*, of an unknown device, maps elsewhere at a later *order*."""
        for place, vblock in self._newest(leaf):
            if order > self._orders[place] and vblock != self._vblocks[place]:
                self._thin_ids[place] = _NOBODY

    def runs(self) -> Iterator[OwnedRun]:
        """Yield the blocks with an owner, joined to the longest runs."""
        place = 0
        for begin, end in self._wanted.runs:
            block = begin
            for thin_id, group in groupby(self._thin_ids[place : place + end - begin]):
                length = sum(1 for _ in group)
                if thin_id != _NOBODY:
                    yield OwnedRun(block, block + length, thin_id)
                block += length
            place += end - begin

    def _newest(self, leaf: StaleLeaf) -> Iterator[tuple[int, int]]:
        """Yield the place and the virtual block of each mapping of *leaf* that no other is newer than."""
        for vblock, value in zip(leaf.vblocks, leaf.packed, strict=True):
            data_block, time = unpack(value)
            place = self._wanted.place(data_block)
            if place is not None and time == self._times[place]:
                yield place, vblock
