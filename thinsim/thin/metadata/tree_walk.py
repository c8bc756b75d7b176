"""`TreeWalk` visits each node of a pool's trees once and reports the faults of its form."""

from collections.abc import Callable
from typing import NamedTuple

from thinsim.errors import KernelError
from thinsim.thin.metadata.blocks import BlockCache
from thinsim.thin.metadata.btree_node import Node, max_entries
from thinsim.thin.metadata.btree_spine import MAX_DEPTH, checked_node
from thinsim.thin.metadata.errors import reason
from thinsim.thin.metadata.references import References

_MAX_KEY = (1 << 64) - 1

See = Callable[[str, Node], None]
"""The arguments are the name of a tree and one of its leaves."""


class WalkedTree(NamedTuple):
    """A `WalkedTree` has the number of a tree's levels and the number of entries in its leaves."""

    depth: int
    entries: int


class TreeWalk:
    """A `TreeWalk` walks trees of *blocks*, and visits a node that several trees share only once.

    It adds each reference from node to node to *references*. It calls *note* with a fault and *damaged* with
    the reason why a node can't be read. *nodes* counts the nodes that were read.
    """

    def __init__(
        self,
        blocks: BlockCache,
        references: References,
        note: Callable[[str], None],
        damaged: Callable[[str], None],
    ) -> None:
        self.nodes = 0
        self._blocks = blocks
        self._references = references
        self._note = note
        self._damaged = damaged
        self._walked: dict[int, WalkedTree | None] = {}

    def walk(self, name: str, root: int, value_size: int, see: See) -> WalkedTree | None:
        """Walk the tree at *root* and call *see* for each leaf; return None if a part of it is damaged.

        The leaves have values of *value_size* bytes. The caller counts the reference to *root*.
        """
        return self._node(name, root, value_size, see, 0, _MAX_KEY, depth=0)

    def _node(
        self, name: str, block: int, value_size: int, see: See, low: int, high: int, depth: int
    ) -> WalkedTree | None:
        if block in self._walked:
            return self._walked[block]
        self._walked[block] = None
        try:
            node = checked_node(self._blocks.get(block, Node), block, value_size)
        except (KernelError, OSError) as error:
            self._damaged(f"{name}: {reason(error)}")
            return None
        self.nodes += 1
        if not self._has_form(f"{name}: node {block}", node, low, high, is_root=not depth):
            return None
        if node.is_leaf:
            see(name, node)
            self._walked[block] = WalkedTree(1, len(node))
            return self._walked[block]
        if depth >= MAX_DEPTH:
            self._note(f"{name}: more than {MAX_DEPTH} levels")
            return None
        self._references.add(node.values)
        walks = []
        for index, child in enumerate(node.values):
            above = node.keys[index + 1] - 1 if index + 1 < len(node) else high
            walks.append(self._node(name, child, value_size, see, node.keys[index], above, depth + 1))
        whole = [walk for walk in walks if walk is not None]
        if len({walk.depth for walk in whole}) > 1:
            self._note(f"{name}: node {block} has children of different depths")
        if len(whole) == len(walks):
            self._walked[block] = WalkedTree(1 + whole[0].depth, sum(walk.entries for walk in whole))
        return self._walked[block]

    def _has_form(self, name: str, node: Node, low: int, high: int, *, is_root: bool) -> bool:
        if node.max_entries != max_entries(node.value_size):
            self._note(f"{name} has an impossible maximum of {node.max_entries} entries")
            return False
        if not is_root and len(node) < node.max_entries // 3:
            self._note(f"{name} has too few entries: {len(node)} of {node.max_entries}")
        if node.keys and not low <= node.keys[0] <= node.keys[-1] <= high:
            self._note(f"{name} has keys {node.keys[0]} to {node.keys[-1]} outside of {low} to {high}")
            return False
        return True
