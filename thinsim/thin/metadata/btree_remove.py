"""These functions remove keys from a btree and keep its nodes filled (dm-btree-remove.c).

At each internal node on the way down, the next child and its siblings are merged or evened out before the
walk enters the child. So no node but the root has fewer entries than a third of its maximum.
"""

from bisect import bisect_left, bisect_right

from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.btree_spine import Spine, ValueType, inc_children, node_at, shadow_child
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.shadowing import TransactionManager


def remove(manager: TransactionManager, value_type: ValueType, root: int, key: int) -> int | None:
    """Remove *key*; return the new root, or None if the tree lacks the key."""
    spine = Spine(manager)
    node = removal_leaf(spine, value_type, root, key)
    if node is None:
        return None
    index = bisect_left(node.keys, key)
    if index >= len(node) or node.keys[index] != key:
        return None
    value_type.dec(node.values[index : index + 1])
    node.delete(index)
    return spine.root


def removal_leaf(spine: Spine, value_type: ValueType, root: int, key: int) -> Node | None:
    """Walk to the leaf for *key* and rebalance; return None if *key* is below all keys of the tree."""
    block, index = root, -1
    while True:
        node = spine.step(block, index, value_type)
        # Rebalancing pulls an only child up into this node, which may then be a leaf.
        if not node.is_leaf and not _rebalance_children(spine, value_type, key):
            return None
        if node.is_leaf:
            return node
        index = bisect_right(node.keys, key) - 1
        if index < 0:
            raise MetadataDamagedError("a key was lost while its tree was rebalanced")
        block = node.values[index]


def _rebalance_children(spine: Spine, value_type: ValueType, key: int) -> bool:
    node = spine.node
    if len(node) == 1:
        _pull_up(spine.manager, node, value_type)
        return True
    index = bisect_right(node.keys, key) - 1
    if index < 0:
        return False
    first, count = siblings(index, len(node))
    if count == 2:
        _rebalance2(spine.manager, node, value_type, first)
    else:
        _rebalance3(spine.manager, node, value_type, first)
    return True


def siblings(index: int, count: int) -> tuple[int, int]:
    """Return the first child that a walk into child *index* of *count* touches, and how many."""
    if index == 0:
        return 0, 2
    return index - 1, 2 if index == count - 1 else 3


def merges_two(total: int, most: int) -> bool:
    """Return whether two nodes with *total* entries are merged, if *most* fit in one (rebalance2)."""
    return total < 2 * (most // 3 + 1)


def shrinks_three(total: int, most: int) -> bool:
    """Return whether three nodes with *total* entries become fewer, if *most* fit in one (rebalance3)."""
    return total < most // 3 * 4 + 1


def even_thirds(total: int) -> tuple[int, int, int]:
    """Return how many of *total* entries the left, center and right of three nodes get (redistribute3)."""
    for_right = total // 3
    for_left = for_right + (for_right * 3 != total)
    return for_left, total - for_left - for_right, for_right


def _pull_up(manager: TransactionManager, node: Node, value_type: ValueType) -> None:
    """Move the content of an only child into its parent."""
    block = node.values[0]
    shared = manager.space.is_shared(block)
    child = node_at(manager, block, value_type.size)
    if shared:
        inc_children(manager, child, value_type)
    node.become(child)
    manager.space.decrement(block, block + 1)


def _rebalance2(manager: TransactionManager, parent: Node, value_type: ValueType, at: int) -> None:
    left = shadow_child(manager, parent, at, value_type)
    right = shadow_child(manager, parent, at + 1, value_type)
    check_alike(left, right)
    _merge_or_even_out(manager, parent, at + 1, left, right)


def _merge_or_even_out(manager: TransactionManager, parent: Node, at: int, left: Node, right: Node) -> None:
    """Merge the two nodes if their entries fit, else even them out; *at* is right's index in *parent*."""
    if merges_two(len(left) + len(right), left.max_entries):
        block = parent.values[at]
        left.move_from_right(right, len(right))
        parent.delete(at)
        # The right node's entries have moved, so only the node itself is dropped.
        manager.space.decrement(block, block + 1)
        return
    _shift(left, right, len(left) - (len(left) + len(right)) // 2)
    parent.keys[at] = right.keys[0]


def _rebalance3(manager: TransactionManager, parent: Node, value_type: ValueType, at: int) -> None:
    left, center, right = (shadow_child(manager, parent, at + beside, value_type) for beside in range(3))
    check_alike(left, center, right)
    total = len(left) + len(center) + len(right)
    if shrinks_three(total, left.max_entries):
        block = parent.values[at + 1]
        left.move_from_right(center, min(left.max_entries - len(left), len(center)))
        center.move_to_right(right, len(center))
        parent.keys[at + 2] = right.keys[0]
        parent.delete(at + 1)
        manager.space.decrement(block, block + 1)
        _merge_or_even_out(manager, parent, at + 1, left, right)
        return
    keys = left.keys + center.keys + right.keys
    values = left.values + center.values + right.values
    for_left, _, for_right = even_thirds(total)
    left.keys, left.values = keys[:for_left], values[:for_left]
    center.keys, center.values = keys[for_left : total - for_right], values[for_left : total - for_right]
    right.keys, right.values = keys[total - for_right :], values[total - for_right :]
    parent.keys[at + 1] = center.keys[0]
    parent.keys[at + 2] = right.keys[0]


def _shift(left: Node, right: Node, count: int) -> None:
    """Move *count* entries from left to right, or from right to left if *count* is negative."""
    if count > 0:
        left.move_to_right(right, count)
    else:
        left.move_from_right(right, -count)


def check_alike(*nodes: Node) -> None:
    """Raise MetadataDamagedError if siblings differ in kind (dm-btree-remove.c, shift: EILSEQ)."""
    first = nodes[0]
    for node in nodes[1:]:
        if (node.is_leaf, node.max_entries) != (first.is_leaf, first.max_entries):
            raise MetadataDamagedError("sibling btree nodes differ in kind")
