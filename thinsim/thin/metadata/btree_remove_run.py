"""`remove_run` removes consecutive keys from a btree, with the result of one walk per key.

The kernel walks from the root for each key, and each walk evens out the entries of the leaf and its siblings
(dm-btree-remove.c). Most walks change nothing above the leaf's parent and merge no nodes. Such a walk moves
entries between leaves by amounts that follow from their numbers alone. So a `_Leaves` computes the numbers
for many keys, and moves the entries once.
"""

from array import array
from bisect import bisect_left, bisect_right

from thinsim.thin.metadata.btree_node import Node, Values
from thinsim.thin.metadata.btree_remove import (
    check_alike,
    even_thirds,
    merges_two,
    removal_leaf,
    shrinks_three,
    siblings,
)
from thinsim.thin.metadata.btree_spine import Spine, ValueType, node_at, shadow_child
from thinsim.thin.metadata.shadowing import TransactionManager


def remove_run(
    manager: TransactionManager, value_type: ValueType, root: int, begin: int, end: int
) -> tuple[int, int]:
    """Remove the keys from *begin* to before *end*, until one is missing.

    Returns the new root and the number of removed keys (dm_btree_remove_leaves). Metadata blocks are
    allocated and freed in the kernel's order.
    """
    removed = 0
    while True:
        spine = Spine(manager)
        node = removal_leaf(spine, value_type, root, begin)
        if node is None:
            # The walk has already shadowed nodes, so its root is the tree's root now.
            return spine.root, removed
        root = spine.root
        index = max(0, bisect_right(node.keys, begin) - 1)
        if index >= len(node) or not begin <= node.keys[index] < end:
            return root, removed
        value_type.dec(node.values[index : index + 1])
        begin = node.keys[index] + 1
        node.delete(index)
        removed += 1
        if spine.parent is not None and begin < end:
            bound = _settled_before(manager, value_type, root, spine.parent, begin, end)
            if begin < bound:
                count = _Leaves(manager, value_type, spine.parent, begin).remove(bound)
                begin += count
                removed += count


def _settled_before(
    manager: TransactionManager, value_type: ValueType, root: int, parent: Node, key: int, end: int
) -> int:
    """Return the key, at most *end*, before which walks change nothing above *parent*, from *key* on.

    Returns *key* if the walk for *key* changes something, or leads elsewhere.
    """
    node = node_at(manager, root, value_type.size)
    while node is not parent:
        index = bisect_right(node.keys, key) - 1
        if index < 0 or len(node) < 2:
            return key
        first, count = siblings(index, len(node))
        beside = [node_at(manager, block, value_type.size) for block in node.values[first : first + count]]
        if beside[0].is_leaf or not all(map(manager.is_shadow, node.values[first : first + count])):
            return key
        if not _is_even([len(each) for each in beside], beside[0].max_entries):
            return key
        if index + 1 < len(node):
            end = min(end, node.keys[index + 1])
        node = beside[index - first]
    return end


def _is_even(counts: list[int], most: int) -> bool:
    total = sum(counts)
    if len(counts) == 2:
        return not merges_two(total, most) and counts[0] == total // 2
    return not shrinks_three(total, most) and counts == list(even_thirds(total))


class _Leaves:
    """A `_Leaves` has neighbouring leaves below *parent*, with the entries that they had at first.

    Its entries before *at* are kept, and the next *removed* ones are gone; *counts* and the keys of *parent*
    show how many of the rest each leaf would have by now.
    """

    def __init__(self, manager: TransactionManager, value_type: ValueType, parent: Node, key: int) -> None:
        self._manager = manager
        self._value_type = value_type
        self._parent = parent
        self._key = key
        self._index = bisect_right(parent.keys, key) - 1
        self._removed = self._dropped = 0
        self._low = self._at = self._most = 0
        self._nodes: list[Node] = []
        self._counts: list[int] = []
        self._before = [0]
        self._all_keys: array[int] = array("Q")
        self._all_values: Values = None

    def remove(self, end: int) -> int:
        """Remove keys up to before *end*; return their number. It stops before a walk that does more."""
        if self._index < 0 or len(self._parent) < 2 or not self._begins_here():
            return 0
        self._low, count = siblings(self._index, len(self._parent))
        self._extend(count)
        self._at = bisect_left(self._all_keys, self._key)
        self._most = self._nodes[0].max_entries
        while self._key + self._removed < end and self._walk(self._key + self._removed):
            pass
        self._settle()
        return self._removed

    def _begins_here(self) -> bool:
        block = self._parent.values[self._index]
        keys = node_at(self._manager, block, self._value_type.size).keys
        index = bisect_left(keys, self._key)
        return index < len(keys) and keys[index] == self._key

    def _walk(self, key: int) -> bool:
        """Remove *key* as a walk of its own would, or return False."""
        keys, at, removed = self._all_keys, self._at, self._removed
        position = at + removed
        if position >= len(keys) or keys[position] != key:
            return False
        parent_keys, counts = self._parent.keys, self._counts
        index = bisect_right(parent_keys, key) - 1
        first, number = siblings(index, len(parent_keys))
        leaf = first - self._low
        if leaf < 0:
            return False
        if leaf + number > len(counts):
            self._extend(leaf + number)
            keys = self._all_keys
        if number == 2:
            total = counts[leaf] + counts[leaf + 1]
            if merges_two(total, self._most):
                return False
            shares: tuple[int, ...] = (total // 2, total - total // 2)
        else:
            total = counts[leaf] + counts[leaf + 1] + counts[leaf + 2]
            if shrinks_three(total, self._most):
                return False
            shares = even_thirds(total)
        start = self._before[leaf]
        for beside, share in enumerate(shares):
            if beside:
                self._before[leaf + beside] = start
                parent_keys[first + beside] = keys[start if start < at else start + removed]
            counts[leaf + beside] = share
            start += share
        counts[bisect_right(parent_keys, key) - 1 - self._low] -= 1
        self._removed += 1
        return True

    def _extend(self, count: int) -> None:
        """Shadow further leaves on the right, until there are *count*."""
        # A shadow may allocate a block, and so may a drop of references: keep the kernel's order.
        self._drop_references()
        while len(self._nodes) < count:
            node = shadow_child(self._manager, self._parent, self._low + len(self._nodes), self._value_type)
            if self._nodes:
                check_alike(self._nodes[0], node)
                self._all_keys += node.keys
                self._all_values += node.values
            else:
                self._all_keys, self._all_values = node.keys[:], node.values[:]
            self._nodes.append(node)
            self._counts.append(len(node))
            self._before.append(0)

    def _drop_references(self) -> None:
        if self._dropped < self._removed:
            self._value_type.dec(self._all_values[self._at + self._dropped : self._at + self._removed])
            self._dropped = self._removed

    def _settle(self) -> None:
        """Move the entries to their leaves."""
        self._drop_references()
        gone = slice(self._at, self._at + self._removed)
        del self._all_keys[gone]
        del self._all_values[gone]
        start = 0
        for node, count in zip(self._nodes, self._counts, strict=True):
            node.keys = self._all_keys[start : start + count]
            node.values = self._all_values[start : start + count]
            start += count
