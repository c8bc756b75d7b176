"""`Spine` walks down a btree and holds the present node and its parent (dm-btree-spine.c)."""

from collections.abc import Callable
from typing import Any, NamedTuple

from thinsim.thin.metadata.btree_node import Node, Values
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.shadowing import TransactionManager

MAX_DEPTH = 64
"""The largest depth of a tree; a deeper one must have a cycle (dm-btree.c, MAX_SPINE_DEPTH)."""


def _nothing(values: Values) -> None:
    pass


def _never_equal(one: Any, other: Any) -> bool:
    return False


class ValueType(NamedTuple):
    """A `ValueType` has the size of a tree's values in bytes, and counts references to them.

    *inc* adds a reference for each value and *dec* drops one. *equal* returns whether two values refer to
    the same thing: an insert that overwrites an equal value drops no reference.
    """

    size: int
    inc: Callable[[Values], None] = _nothing
    dec: Callable[[Values], None] = _nothing
    equal: Callable[[Any, Any], bool] = _never_equal


def node_at(manager: TransactionManager, block: int, value_size: int) -> Node:
    """Return the node at *block*, for reading; the values of a leaf must have *value_size* bytes."""
    return checked_node(manager.blocks.get(block, Node), block, value_size)


def checked_node(node: Node, block: int, value_size: int) -> Node:
    """Return *node*; MetadataDamagedError if it belongs to another kind of tree or lacks entries."""
    if node.is_leaf:
        if node.value_size != value_size:
            raise MetadataDamagedError(
                f"btree node {block} has values of {node.value_size} bytes, not {value_size}"
            )
    elif node.value_size != 8 or not node.keys:
        raise MetadataDamagedError(f"btree node {block} is not a valid internal node")
    return node


def inc_children(manager: TransactionManager, node: Node, value_type: ValueType) -> None:
    """Add a reference to each block that *node* points to, because the node was copied."""
    if node.is_leaf:
        value_type.inc(node.values)
    else:
        manager.increment_all(node.values)


def shadow_child(manager: TransactionManager, parent: Node, index: int, value_type: ValueType) -> Node:
    """Return a shadow of the child at *index* of *parent*; *parent* then points to the shadow."""
    block, node, shared = manager.shadow(parent.values[index], Node)
    checked_node(node, block, value_type.size)
    if shared:
        inc_children(manager, node, value_type)
    parent.values[index] = block
    return node


class Spine:
    """A `Spine` walks down a tree: ``step`` shadows the next node and updates the pointer to it."""

    __slots__ = ("_depth", "manager", "node", "parent", "root")

    def __init__(self, manager: TransactionManager) -> None:
        self.manager = manager
        self.root = -1
        self.parent: Node | None = None
        self.node: Node = None  # type: ignore[assignment]  # the first step sets it
        self._depth = 0

    def step(self, block: int, index: int, value_type: ValueType) -> Node:
        """Go to *block*, entry *index* of the present node, and return its shadow.

        On the first step there is no present node and *index* is ignored.
        """
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise MetadataDamagedError(f"the tree of node {self.root} has more than {MAX_DEPTH} levels")
        number, node, shared = self.manager.shadow(block, Node)
        checked_node(node, block, value_type.size)
        if shared:
            inc_children(self.manager, node, value_type)
        if self._depth == 1:
            self.root = number
        else:
            self.node.values[index] = number
        self.parent, self.node = self.node, node
        return node
