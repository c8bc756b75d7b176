"""`MappingTrees` maps thin ids to mapping trees and details, and virtual blocks to data blocks.

A value of a mapping tree is a data block above 24 bits of time (dm-thin-metadata.c, pack_block_time).
"""

from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple, Protocol

from thinsim.thin.mapping import TIME_BITS
from thinsim.thin.metadata.btree import Btree, put, seek_for_insert
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.btree_spine import Spine, ValueType, node_at
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


class _OpenLeaf(NamedTuple):
    """An `_OpenLeaf` takes mappings without a walk: a walk to it would change no other node."""

    node: Node
    thin_id: int
    before: int
    """The keys below this one belong to the leaf, from its first key on."""
    turn: int


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
        self._open: _OpenLeaf | None = None
        self._next = (-1, -1)
        """The thin id and virtual block after the last one that was mapped."""

    def insert(self, root: int, thin_id: int, vblock: int, packed: int) -> tuple[int, bool]:
        """Map *vblock* of *thin_id*; return the new root of the top tree and whether *vblock* was unmapped.

        Virtual blocks that are mapped one after the other need few walks. Raises MetadataDamagedError if the
        device has no mapping tree.
        """
        leaf = self._open
        if leaf is not None and leaf.thin_id == thin_id and leaf.turn == self._manager.turn:
            node = leaf.node
            self._manager.blocks.check_writable()
            if node.keys[0] <= vblock < leaf.before and len(node.keys) < node.max_entries:
                index = bisect_left(node.keys, vblock)
                return root, put(node, index, vblock, packed, self.bottom.value_type)
        root, new = self._insert(root, thin_id, vblock, packed)
        follows = self._next == (thin_id, vblock)
        self._next = thin_id, vblock + 1
        self._open = self._opened(root, thin_id, vblock) if follows else None
        return root, new

    def _insert(self, root: int, thin_id: int, vblock: int, packed: int) -> tuple[int, bool]:
        spine = Spine(self._manager)
        index = seek_for_insert(spine, root, -1, thin_id, self.top.value_type)
        if index >= len(spine.node) or spine.node.keys[index] != thin_id:
            raise MetadataDamagedError(f"thin {thin_id} has no mapping tree")
        tree = spine.node.values[index]
        index = seek_for_insert(spine, tree, index, vblock, self.bottom.value_type)
        return spine.root, put(spine.node, index, vblock, packed, self.bottom.value_type)

    def _opened(self, root: int, thin_id: int, vblock: int) -> _OpenLeaf | None:
        """Return the leaf of *vblock* after a walk to it; None if a walk would split a node on the way."""
        node, before = node_at(self._manager, root, self.top.value_type.size), 1 << 64
        while not node.is_leaf:
            if len(node) == node.max_entries:
                return None
            block = node.values[bisect_right(node.keys, thin_id) - 1]
            node = node_at(self._manager, block, self.top.value_type.size)
        block = node.values[bisect_left(node.keys, thin_id)]
        node = node_at(self._manager, block, self.bottom.value_type.size)
        while not node.is_leaf:
            if len(node) == node.max_entries:
                return None
            index = bisect_right(node.keys, vblock) - 1
            if index + 1 < len(node):
                before = min(before, node.keys[index + 1])
            node = node_at(self._manager, node.values[index], self.bottom.value_type.size)
        return _OpenLeaf(node, thin_id, before, self._manager.turn)

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
