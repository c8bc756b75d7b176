"""`StaleNodes` has the btree nodes that earlier transactions left in metadata blocks that are free now.

The transaction manager copies a node to a free block before it changes it (dm-transaction-manager.c,
dm_tm_shadow_block). The old block keeps its content until it is used again. A node has no number of its
transaction, but each commit that uses blocks also writes a new index of the metadata space map, as its last
block (dm-space-map-common.c, metadata_ll_commit). So old indexes mark where one transaction ended and the
next one began.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from thinsim.thin.ids import MAX_THIN_ID
from thinsim.thin.mapping import MAX_TIME, TIME_BITS
from thinsim.thin.metadata.bitmap import MetadataIndex
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.details import DETAILS_SIZE
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.free_runs import free_runs
from thinsim.thin.metadata.view import MetadataView
from thinsim.thin.metadata.wanted_blocks import WantedBlocks

MOST_BLOCKS = 1 << 20
"""The most free metadata blocks that are read: 4 GiB."""
MOST_ENTRIES = 1 << 23
"""The most entries of old nodes that are kept in memory, with 16 bytes each."""

_MOST_BETWEEN_LOOKS = 256
_LOOKS = 64
"""The looks at the present index while all metadata blocks are read."""
_OVERHEAD = 16
"""The entries that need as much memory as a leaf, or a root's pointers, without entries."""
_NUMBER_SIZE = 8
_NUMBER_OF_BLOCK = slice(8, 16)
"""The bytes of a node or an index with the number of its block (dm-btree-internal.h, struct node_header)."""


class StaleLeaf(NamedTuple):
    """A `StaleLeaf` is a leaf of a mapping tree, with those of its mappings whose data block is wanted."""

    first: int
    """The first virtual block; 0 in a leaf without mappings."""
    last: int
    """The last virtual block."""
    mappings: int
    """The number of all mappings of the leaf."""
    vblocks: "array[int]"
    """The virtual blocks of the wanted data blocks."""
    packed: "array[int]"
    """Their data blocks, each above 24 bits of time."""


@dataclass(slots=True)
class RootPointers:
    """A `RootPointers` has top leaves that name the same root for the same thin id, by their blocks."""

    below: int | None = None
    """The nearest one before the root."""
    above: int | None = None
    """The nearest one after the root."""
    newest: int | None = None
    """The one that was probably written last."""
    is_sure: bool = False
    """True if one of them certainly is a top leaf: it has several entries."""


@dataclass(slots=True)
class StaleNodes:
    """A `StaleNodes` sorts the old nodes by their kind. Read it with `read_stale_nodes`."""

    blocks: int
    """The number of metadata blocks."""
    index: int
    """The block of the present index, which the last commit wrote."""
    leaves: dict[int, StaleLeaf] = field(default_factory=dict)
    inner: dict[int, Node] = field(default_factory=dict)
    """The internal nodes."""
    roots: dict[tuple[int, int], RootPointers] = field(default_factory=dict)
    """The top leaves that name a root, by thin id and root."""
    details: dict[int, set[tuple[int, int]]] = field(default_factory=dict)
    """The numbers of mapped blocks that a thin id had at some time, each with the time of its creation."""
    commits: list[int] = field(default_factory=list)
    """The blocks of all indexes, ascending."""
    cut: bool = False
    """True if a limit ended the reading early."""
    passed: int = 0
    """The number of blocks that the allocation passed since the reading began; a block may count twice."""
    _passed_to: int = -1

    def __post_init__(self) -> None:
        self._passed_to = self.index

    def segment(self, block: int) -> int:
        """Return the number of the part of the device, between two indexes, in which *block* is."""
        return bisect_left(self.commits, block)

    def age(self, block: int) -> int:
        """Return a number that is higher for blocks that the allocation reached later.

        The metadata space map allocates in ascending order, and begins again at block 0 after the last block
        (dm-space-map-metadata.c, sm_metadata_new_block_). It also does so when a pool is activated, which no
        block shows.
        """
        return (block - self.index - 1) % self.blocks

    def note_index(self, index: int) -> None:
        """Count the blocks that the allocation passed since the last call; *index* is the pool's index now.

        A pool that commits may use all of its blocks again, so that its index alone does not show it.
        """
        self.passed += (index - self._passed_to) % self.blocks
        self._passed_to = index

    def keep_unchanged(self) -> None:
        """Drop the nodes in blocks that the allocation has passed: the pool may have used them since."""
        for kept in (self.leaves, self.inner):
            for block in [block for block in kept if self.age(block) < self.passed]:
                del kept[block]
        for each in self.roots.values():
            each.below = self._unless_used(each.below)
            each.above = self._unless_used(each.above)
            each.newest = self._unless_used(each.newest)

    def _unless_used(self, block: int | None) -> int | None:
        return None if block is None or self.age(block) < self.passed else block


def read_stale_nodes(
    view: MetadataView,
    wanted: WantedBlocks,
    most_blocks: int = MOST_BLOCKS,
    most_entries: int = MOST_ENTRIES,
    *,
    present_index: Callable[[], int] | None = None,
) -> StaleNodes:
    """Return the old nodes in the free metadata blocks of *view*, in which no content is trusted.

    Only mappings of the data blocks in *wanted* are kept. The reading ends early after *most_blocks* blocks
    or *most_entries* entries. If the pool may commit meanwhile, *present_index* returns its index; nodes in
    blocks that it may have used since are then left out. MetadataDamagedError if the space map is damaged.
    """
    root = view.superblock.metadata_space_map
    found = StaleNodes(root.nr_blocks, root.bitmap_root, cut=wanted.cut)
    _add_details(found, view.trees.details.entries(view.superblock.details_root))
    reader = _Reader(found, wanted, view.superblock.time)
    blocks = 0
    between = min(_MOST_BETWEEN_LOOKS, max(1, root.nr_blocks // _LOOKS))
    for begin, end in free_runs(view.metadata_counts(), 0, root.nr_blocks):
        for block in range(begin, end):
            if blocks >= most_blocks or reader.entries >= most_entries:
                found.cut = True
                break
            blocks += 1
            if present_index is not None and blocks % between == 0:
                found.note_index(present_index())
            with suppress(MetadataDamagedError, OSError):  # the block can't be read
                reader.look(block, view.blocks.fetch(block))
    found.commits = sorted({*found.commits, root.bitmap_root})
    if present_index is not None:
        found.note_index(present_index())
        found.keep_unchanged()
    return found


class _Reader:
    """A `_Reader` decides what a free block holds, and adds it to *found*."""

    def __init__(self, found: StaleNodes, wanted: WantedBlocks, time: int) -> None:
        self.entries = 0
        self._time = time
        self._found = found
        self._wanted = wanted

    def look(self, block: int, content: bytes) -> None:
        """Add the node in *content*, if it is a node and was written as *block*."""
        if content[_NUMBER_OF_BLOCK] != block.to_bytes(8, "little"):
            return
        try:
            node = Node.decode(content, block)
        except MetadataDamagedError:
            self._look_for_index(block, content)
            return
        if not node.is_leaf:
            if node.value_size == _NUMBER_SIZE and node.keys:
                self._found.inner[block] = node
                self.entries += len(node)
        elif node.value_size == DETAILS_SIZE:
            _add_details(self._found, zip(node.keys, node.values, strict=True))
        elif node.value_size == _NUMBER_SIZE:
            self._add_leaf(block, node)

    def _look_for_index(self, block: int, content: bytes) -> None:
        try:
            MetadataIndex.decode(content, block)
        except MetadataDamagedError:
            return
        self._found.commits.append(block)

    def _add_leaf(self, block: int, node: Node) -> None:
        """Add a leaf of the top tree, whose values are metadata blocks, or of a mapping tree.

        A value of a mapping tree has its data block above 24 bits, and no metadata block has so high a number
        (THIN_METADATA_MAX_SECTORS). So only a leaf with the one mapping of data block 0 resembles a top leaf.
        """
        if node.keys and max(node.values) >> TIME_BITS == 0:
            is_sure = len(node) > 1
            for thin_id, root in zip(node.keys, node.values, strict=True):
                if thin_id <= MAX_THIN_ID and 0 < root < self._found.blocks:
                    self._add_root(thin_id, root, block, is_sure)
            if is_sure:
                return
        vblocks, packed = array("Q"), array("Q")
        for vblock, value in zip(node.keys, node.values, strict=True):
            # A time after that of the pool is of another pool, which had the device before.
            if value & MAX_TIME <= self._time and self._wanted.place(value >> TIME_BITS) is not None:
                vblocks.append(vblock)
                packed.append(value)
        self.entries += _OVERHEAD + len(vblocks)
        first, last = (node.keys[0], node.keys[-1]) if node.keys else (0, 0)
        self._found.leaves[block] = StaleLeaf(first, last, len(node), vblocks, packed)

    def _add_root(self, thin_id: int, root: int, block: int, is_sure: bool) -> None:
        pointers = self._found.roots.get((thin_id, root))
        if pointers is None:
            pointers = self._found.roots[thin_id, root] = RootPointers()
            self.entries += _OVERHEAD
        pointers.is_sure |= is_sure
        if block < root:
            pointers.below = block
        elif pointers.above is None:
            pointers.above = block
        if pointers.newest is None or self._found.age(block) > self._found.age(pointers.newest):
            pointers.newest = block


def _add_details(found: StaleNodes, entries: Iterable[tuple[int, tuple[int, ...]]]) -> None:
    for thin_id, details in entries:
        mapped_blocks, _, creation_time, _ = details
        found.details.setdefault(thin_id, set()).add((mapped_blocks, creation_time))
