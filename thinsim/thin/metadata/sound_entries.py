"""`sound_entries` yields a btree's entries and detects misplaced nodes, as thin_dump does.

A pool looks keys up and trusts each node (dm-btree.c). A reader of a whole tree can detect more: a node that
was written over another node, or an old version of a node, has keys that its parent forbids
(btree_damage_visitor of thin-provisioning-tools).
"""

from collections.abc import Iterator
from typing import Any

from thinsim.thin.metadata.blocks import BlockCache
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.btree_spine import MAX_DEPTH, checked_node
from thinsim.thin.metadata.errors import MetadataDamagedError


def sound_entries(blocks: BlockCache, root: int, value_size: int) -> Iterator[tuple[int, Any]]:
    """Yield the (key, value) pairs of the tree at *root*, ascending, up to the first wrong node.

    Raises MetadataDamagedError, which names that node, or ``OSError`` if the node can't be read.
    """
    highest = -1
    pending = [(root, 0, 0)]
    while pending:
        block, least, depth = pending.pop()
        node = checked_node(blocks.get(block, Node), block, value_size)
        if depth:
            _check_place(node, block, least, depth)
        if not node.is_leaf:
            children = zip(node.values, node.keys, strict=True)
            pending += reversed([(child, key, depth + 1) for child, key in children])
            continue
        if node.keys and node.keys[0] <= highest:
            raise MetadataDamagedError(
                f"btree node {block} begins at key {node.keys[0]}, but the leaf before it ends at {highest}"
            )
        yield from zip(node.keys, node.values, strict=True)
        highest = node.keys[-1] if node.keys else highest


def _check_place(node: Node, block: int, least: int, depth: int) -> None:
    """Check a node against its parent, whose key for it is *least*: the node's keys are *least* or more."""
    if depth > MAX_DEPTH:
        raise MetadataDamagedError(f"btree node {block} is below more than {MAX_DEPTH} levels")
    # Only the checker reports a node with too few entries: they can all be read.
    if not node.keys:
        raise MetadataDamagedError(f"btree node {block} has no entries, but is not the root of a tree")
    if node.keys[0] < least:
        raise MetadataDamagedError(
            f"btree node {block} begins at key {node.keys[0]}, but its parent has it at {least}"
        )
