"""`Btree` looks up, changes, walks and deletes copy-on-write btrees (dm-btree.c).

The rules for splitting a node and moving entries between siblings determine the size of a tree in blocks,
so they are the kernel's. An insert walks down from the root and makes room in each full node that it
meets, in a sibling that has space if there is one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

from thinsim.thin.metadata import btree_remove, btree_remove_run
from thinsim.thin.metadata.btree_node import Node, max_entries
from thinsim.thin.metadata.btree_spine import (
    MAX_DEPTH,
    Spine,
    ValueType,
    inc_children,
    node_at,
    shadow_child,
)
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.shadowing import TransactionManager

_WORTH_MOVING = 8
"""The free entries that a sibling needs before entries move to it (dm-btree.c, SPACE_THRESHOLD)."""


class Btree:
    """A `Btree` operates on all trees of one value type; the block of its root identifies each tree.

    Each change returns the block of the tree's new root.
    """

    def __init__(self, manager: TransactionManager, value_type: ValueType) -> None:
        self.manager = manager
        self.value_type = value_type

    def empty(self) -> int:
        """Return the root of a new, empty tree."""
        return self.manager.new_block(Node.empty(True, self.value_type.size))

    def lookup(self, root: int, key: int) -> Any | None:
        """Return the value of *key*, or None if the tree lacks the key."""
        node = self._leaf(root, key)
        index = bisect_left(node.keys, key)
        if index < len(node.keys) and node.keys[index] == key:
            return node.values[index]
        return None

    def next_entry(self, root: int, key: int) -> tuple[int, Any] | None:
        """Return the first entry at *key* or after it, or None (dm_btree_lookup_next)."""
        return next(self.entries(root, key), None)

    def entries(self, root: int, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, Any]]:
        """Yield (key, value) pairs from *begin* to before *end*, ascending.

        The tree must not change during the iteration.
        """
        for node in self.leaves(root, begin):
            keys = node.keys
            first = bisect_left(keys, begin)
            if end is not None and keys and keys[-1] >= end:
                last = bisect_left(keys, end)
                yield from zip(keys[first:last], node.values[first:last], strict=True)
                return
            yield from zip(keys[first:], node.values[first:], strict=True)

    def leaves(self, root: int, begin: int = 0) -> Iterator[Node]:
        """Yield the leaves in ascending order of their keys, from the leaf for *begin* on.

        Raises MetadataDamagedError if the keys do not ascend, as in a tree with a cycle.
        """
        highest = -1
        path: list[tuple[Node, int]] = []
        node = node_at(self.manager, root, self.value_type.size)
        while True:
            while not node.is_leaf:
                index = max(0, bisect_right(node.keys, begin) - 1)
                path.append((node, index))
                node = self._child(node, index, len(path))
            if node.keys:
                if node.keys[0] <= highest:
                    raise MetadataDamagedError(f"the leaves of the tree of node {root} do not ascend")
                highest = node.keys[-1]
            yield node
            while path and path[-1][1] + 1 >= len(path[-1][0]):
                path.pop()
            if not path:
                return
            parent, index = path.pop()
            path.append((parent, index + 1))
            node = self._child(parent, index + 1, len(path))
            begin = 0

    def highest(self, root: int) -> int | None:
        """Return the highest key, or None if the tree is empty (dm_btree_find_highest_key)."""
        node = node_at(self.manager, root, self.value_type.size)
        depth = 0
        while not node.is_leaf:
            depth += 1
            node = self._child(node, -1, depth)
        return node.keys[-1] if node.keys else None

    def insert(self, root: int, key: int, value: Any) -> tuple[int, bool]:
        """Set *key* to *value*; return the new root and whether the key is new."""
        spine = Spine(self.manager)
        index = seek_for_insert(spine, root, -1, key, self.value_type)
        inserted = put(spine.node, index, key, value, self.value_type)
        return spine.root, inserted

    def leaf_to_overwrite(self, root: int, key: int) -> tuple[int, Node, int]:
        """Make the leaf of *key* writable; return the new root, the leaf and the index of *key*.

        Raises MetadataDamagedError if the tree lacks *key*.
        """
        spine = Spine(self.manager)
        block, index = root, -1
        while True:
            node = spine.step(block, index, self.value_type)
            index = bisect_right(node.keys, key) - 1
            if index < 0 or (node.is_leaf and node.keys[index] != key):
                raise MetadataDamagedError(f"the tree of node {root} lacks an entry for {key}")
            if node.is_leaf:
                return spine.root, node, index
            block = node.values[index]

    def remove(self, root: int, key: int) -> int | None:
        """Remove *key*; return the new root, or None if the tree lacks the key (dm_btree_remove)."""
        return btree_remove.remove(self.manager, self.value_type, root, key)

    def remove_run(self, root: int, begin: int, end: int) -> tuple[int, int]:
        """Remove consecutive keys from *begin* to before *end*, until one is missing.

        Returns the new root and the number of removed keys (dm_btree_remove_leaves).
        """
        return btree_remove_run.remove_run(self.manager, self.value_type, root, begin, end)

    def delete(self, root: int) -> None:
        """Drop a reference to the tree and free the nodes that are no longer used (dm_btree_del)."""
        space = self.manager.space
        stack: list[tuple[int, Iterator[int]]] = []
        pending: int | None = root
        while pending is not None or stack:
            if pending is not None:
                block, pending = pending, None
                if space.count(block) > 1:
                    space.decrement(block, block + 1)
                    continue
                if len(stack) >= MAX_DEPTH:
                    raise MetadataDamagedError(f"the tree of node {root} has more than {MAX_DEPTH} levels")
                node = node_at(self.manager, block, self.value_type.size)
                if node.is_leaf:
                    self.value_type.dec(node.values)
                    space.decrement(block, block + 1)
                else:
                    stack.append((block, iter(node.values[:])))
                continue
            block, children = stack[-1]
            pending = next(children, None)
            if pending is None:
                stack.pop()
                space.decrement(block, block + 1)

    def _leaf(self, root: int, key: int) -> Node:
        node = node_at(self.manager, root, self.value_type.size)
        depth = 0
        while not node.is_leaf:
            depth += 1
            node = self._child(node, max(0, bisect_right(node.keys, key) - 1), depth)
        return node

    def _child(self, node: Node, index: int, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise MetadataDamagedError(f"a tree has more than {MAX_DEPTH} levels")
        return node_at(self.manager, node.values[index], self.value_type.size)


def put(node: Node, index: int, key: int, value: Any, value_type: ValueType) -> bool:
    """Insert or overwrite the entry at *index* of ``seek_for_insert``; return whether the key is new."""
    if index >= len(node.keys) or node.keys[index] != key:
        node.insert(index, key, value)
        return True
    old = node.values[index]
    if not value_type.equal(old, value):
        value_type.dec([old])
    node.values[index] = value
    return False


def seek_for_insert(spine: Spine, root: int, index: int, key: int, value_type: ValueType) -> int:
    """Walk to the leaf for *key*, making room on the way; return the key's index in the leaf.

    *index* is the entry of the spine's present node that points to *root*, or -1 if there is none. It is
    used for a mapping tree, whose root is a value of the top tree (btree_insert_raw).
    """
    top, block = True, root
    while True:
        node = spine.step(block, index, value_type)
        if len(node) == node.max_entries and not (node.is_leaf and _has(node, key)):
            if top:
                _split_beneath(spine)
            else:
                _rebalance_or_split(spine, value_type, index, key)
            node = spine.node
        index = bisect_right(node.keys, key) - 1
        if node.is_leaf:
            break
        if index < 0:
            node.keys[0] = key
            index = 0
        block = node.values[index]
        top = False
    return index if index >= 0 and node.keys[index] == key else index + 1


def _has(node: Node, key: int) -> bool:
    index = bisect_left(node.keys, key)
    return index < len(node.keys) and node.keys[index] == key


def _sibling(node: Node) -> Node:
    """Return an empty node of the same kind."""
    return Node(node.is_leaf, node.value_size, node.keys[:0], node.values[:0], node.max_entries)


def _split_beneath(spine: Spine) -> None:
    """Move the root's entries to two new nodes below it."""
    root = spine.node
    half = len(root) // 2
    left, right = _sibling(root), _sibling(root)
    left.keys, left.values = root.keys[:half], root.values[:half]
    right.keys, right.values = root.keys[half:], root.values[half:]
    parent = Node.empty(False, 8)
    for child in (left, right):
        parent.keys.append(child.keys[0])
        parent.values.append(spine.manager.new_block(child))
    root.become(parent)
    root.max_entries = max_entries(8)


def _rebalance_or_split(spine: Spine, value_type: ValueType, at: int, key: int) -> None:
    """Make room in the present node, child *at* of its parent; the node for *key* becomes present."""
    parent = spine.parent
    assert parent is not None, "only a root has no parent"
    manager = spine.manager
    shared = False
    for beside in (at - 1, at + 1):
        if not 0 <= beside < len(parent):
            continue
        block = parent.values[beside]
        if manager.space.is_shared(block):
            shared = True
            continue
        sibling = node_at(manager, block, value_type.size)
        if sibling.max_entries - len(sibling) >= _WORTH_MOVING:
            sibling = shadow_child(manager, parent, beside, value_type)
            left, right = (sibling, spine.node) if beside < at else (spine.node, sibling)
            even_out(left, right)
            parent.keys[max(at, beside)] = right.keys[0]
            spine.node = left if key < right.keys[0] else right
            return
    if shared or len(parent) <= 2 or at in (0, len(parent) - 1):
        _split_one(spine, parent, at, key)
    else:
        _split_two(spine, parent, value_type, at, key)


def _split_one(spine: Spine, parent: Node, at: int, key: int) -> None:
    left = spine.node
    right = _sibling(left)
    block = spine.manager.new_block(right)
    even_out(left, right)
    parent.insert(at + 1, right.keys[0], block)
    spine.node = left if key < right.keys[0] else right


def _split_two(spine: Spine, parent: Node, value_type: ValueType, at: int, key: int) -> None:
    """Spread the entries of the present node and its left sibling over three nodes."""
    right = spine.node
    left = shadow_child(spine.manager, parent, at - 1, value_type)
    middle = _sibling(left)
    block = spine.manager.new_block(middle)
    keys, values = left.keys + right.keys, left.values + right.values
    total = len(keys)
    first = total // 3
    second = first + (total - first) // 2
    left.keys, left.values = keys[:first], values[:first]
    middle.keys, middle.values = keys[first:second], values[first:second]
    right.keys, right.values = keys[second:], values[second:]
    parent.keys[at] = right.keys[0]
    parent.insert(at, middle.keys[0], block)
    spine.node = left if key < middle.keys[0] else middle if key < right.keys[0] else right


def even_out(left: Node, right: Node) -> None:
    """Move entries so that the left node has half of them, rounded down."""
    excess = len(left) - (len(left) + len(right)) // 2
    if excess > 0:
        left.move_to_right(right, excess)
    else:
        left.move_from_right(right, -excess)


__all__ = ["Btree", "ValueType", "even_out", "inc_children", "put", "seek_for_insert"]
