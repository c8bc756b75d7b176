"""`MappingTrees` maps thin ids to mapping trees and details, and virtual blocks to data blocks.

A value of a mapping tree is a data block above 24 bits of time (dm-thin-metadata.c, pack_block_time).
"""

from typing import Any, Protocol

from thinsim.thin.mapping import TIME_BITS
from thinsim.thin.metadata.btree import Btree, put, seek_for_insert
from thinsim.thin.metadata.btree_spine import Spine, ValueType
from thinsim.thin.metadata.details import DETAILS_SIZE
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.shadowing import TransactionManager, runs

_NUMBER_SIZE = 8


class CountsData(Protocol):
    """A `CountsData` counts the references to data blocks: the data space map, for a pool."""

    def increment(self, begin: int, end: int) -> None:
        """Add a reference to the data blocks from *begin* to before *end*."""

    def decrement(self, begin: int, end: int) -> None:
        """Drop a reference to the data blocks from *begin* to before *end*."""


class MappingTrees:
    """A `MappingTrees` changes three kinds of btrees below the superblock.

    *top* maps thin ids to the roots of *bottom* trees, one per device; *details* maps them to DeviceDetails.
    """

    def __init__(self, manager: TransactionManager, space: CountsData) -> None:
        self._manager = manager
        self._space = space
        self.bottom = Btree(
            manager, ValueType(_NUMBER_SIZE, self._inc_data, self._dec_data, _same_data_block)
        )
        self.top = Btree(
            manager, ValueType(_NUMBER_SIZE, manager.increment_all, self._dec_trees, _same_number)
        )
        self.details = Btree(manager, ValueType(DETAILS_SIZE))

    def insert(self, root: int, thin_id: int, vblock: int, packed: int) -> tuple[int, bool]:
        """Map *vblock* of *thin_id*; return the new root of the top tree and whether *vblock* was unmapped.

        Raises MetadataDamagedError if the device has no mapping tree.
        """
        spine = Spine(self._manager)
        index = seek_for_insert(spine, root, -1, thin_id, self.top.value_type)
        if index >= len(spine.node) or spine.node.keys[index] != thin_id:
            raise MetadataDamagedError(f"thin {thin_id} has no mapping tree")
        tree = spine.node.values[index]
        index = seek_for_insert(spine, tree, index, vblock, self.bottom.value_type)
        return spine.root, put(spine.node, index, vblock, packed, self.bottom.value_type)

    def _inc_data(self, values: Any) -> None:
        for begin, end in runs(value >> TIME_BITS for value in values):
            self._space.increment(begin, end)

    def _dec_data(self, values: Any) -> None:
        for begin, end in runs(value >> TIME_BITS for value in values):
            self._space.decrement(begin, end)

    def _dec_trees(self, roots: Any) -> None:
        for root in roots:
            self.bottom.delete(root)


def _same_number(one: int, other: int) -> bool:
    return one == other


def _same_data_block(one: int, other: int) -> bool:
    return one >> TIME_BITS == other >> TIME_BITS
