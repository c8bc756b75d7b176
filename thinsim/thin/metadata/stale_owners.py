"""`last_owners` finds which thin id mapped a data block last, from nodes that earlier transactions left.

A node points to blocks, and a block may have been used again since. So a path of old nodes from a top leaf,
which names a thin id, down to a leaf may lead into a tree of another device. Two kinds of paths are trusted:

1. *Nodes of one segment*, between two indexes of the metadata space map (see ``stale_nodes``). A change of a
   leaf also copies all nodes above it, in the same transaction, to blocks nearby. Could a block of such a
   path be used again, while the node above keeps its content? The allocation takes all free blocks on its
   way up. The block is free only after the node above it is, so a commit comes between the two, and its index
   lies between the two blocks. If the allocation passes there again, it also writes over the node above.
2. *A whole tree*, whose leaves have as many mappings as the details of the thin id once counted, and whose
   blocks were allocated in the order of a tree: a node not later than the node above. This names a snapshot
   that shares a leaf of another device. The first kind of path must name that device, and all mappings must
   be older than the snapshot.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from thinsim.errors import KernelError
from thinsim.thin.mapping import MAX_TIME
from thinsim.thin.metadata.best_claims import BestClaims, OwnedRun
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.stale_nodes import RootPointers, StaleLeaf, StaleNodes
from thinsim.thin.metadata.view import MetadataView
from thinsim.thin.metadata.wanted_blocks import WantedBlocks

_END = 1 << 64
_DEEPEST = 8
"""The most levels of a mapping tree; a node has at least 84 children."""


class _Tree(NamedTuple):
    """A `_Tree` has the number of mappings below a node, and its first and last virtual block."""

    mappings: int
    first: int
    last: int


def last_owners(view: MetadataView, nodes: StaleNodes, wanted: WantedBlocks) -> list[OwnedRun]:
    """Return the *wanted* data blocks with a clear last owner, in order; *nodes* was read for them.

    *view* reads nodes that old trees share with present ones. The newest mapping by its time decides, then
    the order of the allocation. If nodes contradict each other, the block is left out.
    """
    best = BestClaims(wanted)
    claims = _Claims(view, nodes)
    for leaf in nodes.leaves.values():
        best.add_times(leaf)
    nameless = []
    for block, leaf in nodes.leaves.items():
        owners = claims.of(block)
        for thin_id, order in owners.items():
            best.add(leaf, thin_id, order)
        if not owners:
            nameless.append(block)
    for block in nameless:
        best.contradict(nodes.leaves[block], nodes.age(block))
    return list(best.runs())


class _Claims:
    """A `_Claims` has the thin ids to which an old leaf belonged, each with the order of its newest claim."""

    def __init__(self, view: MetadataView, nodes: StaleNodes) -> None:
        self._view = view
        self._nodes = nodes
        self._trees: dict[int, _Tree | None] = {}
        self._owners: dict[int, dict[int, int]] = defaultdict(dict)
        self._writers: dict[int, frozenset[int]] = {}
        for together in (True, False):
            self._visited: set[tuple[int, int]] = set()
            for order, thin_id, root in sorted(self._roots(together), reverse=True):
                self._claim_below(thin_id, root, order, together)
            self._writers = {leaf: frozenset(owners) for leaf, owners in self._owners.items()}

    def of(self, leaf: int) -> dict[int, int]:
        """Return the order by thin id, for the leaf in block *leaf*."""
        return self._owners.get(leaf, {})

    def _roots(self, together: bool) -> Iterator[tuple[int, int, int]]:
        """Yield an order, a thin id and a root; with *together*, only roots in the segment of a top leaf."""
        nodes = self._nodes
        for (thin_id, root), pointers in nodes.roots.items():
            if root not in nodes.leaves and root not in nodes.inner:
                continue
            orders = [
                nodes.age(each)
                for each in (pointers.newest,)
                if each is not None and self._is_earlier(root, each)
            ]
            if together:
                near = self._near(root, pointers)
                if not near or not (pointers.is_sure or self._is_whole(thin_id, root)):
                    continue
                orders += near
            elif not self._is_whole(thin_id, root):
                continue
            if orders:
                yield max(orders), thin_id, root

    def _near(self, root: int, pointers: RootPointers) -> list[int]:
        """Return the ages of the top leaves in the segment of *root*."""
        segment = self._nodes.segment(root)
        return [
            self._nodes.age(each)
            for each in (pointers.below, pointers.above)
            if each is not None and self._nodes.segment(each) == segment
        ]

    def _is_earlier(self, block: int, above: int) -> bool:
        """Return whether *block* was written not later than *above*, by the order of the allocation."""
        nodes = self._nodes
        return nodes.age(block) < nodes.age(above) or nodes.segment(block) == nodes.segment(above)

    def _is_whole(self, thin_id: int, root: int) -> bool:
        return bool(self._creations(thin_id, root))

    def _creations(self, thin_id: int, root: int) -> list[int]:
        """Return when the device was created, by all details that fit the whole tree at *root*."""
        tree = self._tree(root, 0)
        details = self._nodes.details.get(thin_id, ())
        return [] if tree is None else [created for mapped, created in details if mapped == tree.mappings]

    def _tree(self, block: int, depth: int) -> _Tree | None:
        """Return the tree below *block*; None if a node of it is missing or is in the wrong place."""
        if block not in self._trees:
            self._trees[block] = None
            node = self._nodes.leaves.get(block) or self._inner(block)
            if isinstance(node, StaleLeaf):
                self._trees[block] = _Tree(node.mappings, node.first, node.last)
            elif node is not None and node.is_leaf:
                first, last = (node.keys[0], node.keys[-1]) if node.keys else (0, 0)
                self._trees[block] = _Tree(len(node), first, last)
            elif node is not None and depth < _DEEPEST:
                self._trees[block] = self._joined(block, node, depth)
        return self._trees[block]

    def _inner(self, block: int) -> Node | None:
        """Return an old internal node, or a present node, which present trees may still share."""
        found = self._nodes.inner.get(block)
        if found is None:
            with suppress(KernelError, OSError):
                present = self._view.blocks.get(block, Node)
                found = present if present.value_size == 8 else None
        return found

    def _joined(self, block: int, node: Node, depth: int) -> _Tree | None:
        mappings, last = 0, 0
        for child, low, high in _children(node, _END):
            tree = self._tree(child, depth + 1)
            if tree is None or not tree.mappings or not low <= tree.first <= tree.last < high:
                return None
            if self._is_old(block) and self._is_old(child) and not self._is_earlier(child, block):
                return None
            mappings, last = mappings + tree.mappings, tree.last
        return _Tree(mappings, node.keys[0], last)

    def _is_old(self, block: int) -> bool:
        return block in self._nodes.leaves or block in self._nodes.inner

    def _claim_below(self, thin_id: int, root: int, order: int, together: bool) -> None:
        """Let *thin_id* claim the old leaves below *root*; with *together*, only those in its segment."""
        nodes = self._nodes
        segment = nodes.segment(root)
        created = max(self._creations(thin_id, root), default=0)
        pending = [(root, 0, _END)]
        while pending:
            block, low, high = pending.pop()
            if (thin_id, block) in self._visited or (together and nodes.segment(block) != segment):
                continue
            leaf, node = nodes.leaves.get(block), nodes.inner.get(block)
            if leaf is not None and low <= leaf.first <= leaf.last < high:
                self._visited.add((thin_id, block))
                if together or self._may_share(thin_id, block, leaf, created):
                    owners = self._owners[block]
                    owners[thin_id] = max(order, owners.get(thin_id, 0))
            elif node is not None and low <= node.keys[0] <= node.keys[-1] < high:
                self._visited.add((thin_id, block))
                pending += _children(node, high)

    def _may_share(self, thin_id: int, block: int, leaf: StaleLeaf, created: int) -> bool:
        """Return whether the device wrote *leaf*, or was created after all its mappings."""
        writers = self._writers.get(block, frozenset())
        return thin_id in writers or (
            bool(writers) and all(value & MAX_TIME < created for value in leaf.packed)
        )


def _children(node: Node, high: int) -> Iterator[tuple[int, int, int]]:
    """Yield each child with its first key and the key after its last."""
    ends = [*node.keys[1:], high]
    yield from zip(node.values, node.keys, ends, strict=True)
