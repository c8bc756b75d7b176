"""`Checker` compares all trees of a pool with its space maps, as thin_check does.

It walks each tree once, and visits a node that several trees share only once. Then it compares the
references it found with both space maps. A damaged block is one problem; the nodes below it are not checked.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from thinsim.errors import KernelError
from thinsim.thin.mapping import MAX_TIME, TIME_BITS
from thinsim.thin.metadata.blocks import BlockCache
from thinsim.thin.metadata.btree_node import Node
from thinsim.thin.metadata.counting import MANY, BlockCounts
from thinsim.thin.metadata.details import DETAILS_SIZE, DeviceDetails, ThinRecord
from thinsim.thin.metadata.dump import Readable
from thinsim.thin.metadata.errors import MetadataDamagedError, reason
from thinsim.thin.metadata.readable_entries import readable_entries
from thinsim.thin.metadata.references import References, bitmaps_of
from thinsim.thin.metadata.store import ENTRIES_PER_BITMAP, MAX_BITMAPS
from thinsim.thin.metadata.superblock import LOCATION
from thinsim.thin.metadata.tree_walk import See, TreeWalk, WalkedTree

_NUMBER_SIZE, _COUNT_SIZE, _ENTRY_SIZE = 8, 4, 16


class Problem(NamedTuple):
    """A `Problem` describes one fault of the metadata.

    A *leak* is a block with a reference but no use: it wastes space and does no harm.
    """

    text: str
    """The problem in words."""
    leak: bool = False
    """True if it is a block that is counted but not used: wasted, not dangerous."""


class Checkable(Readable, Protocol):
    """A `Checkable` is metadata that can be checked: a `MetadataView` or the metadata of a pool."""

    blocks: BlockCache
    superblock_problems: Sequence[str]

    def records(self) -> list[ThinRecord]:
        """Return the devices that may have uncommitted changes."""

    def data_counts(self) -> BlockCounts:
        """Return the reference counts of the data blocks."""

    def metadata_counts(self) -> BlockCounts:
        """Return the reference counts of the metadata blocks; MetadataDamagedError without an index."""


class Checker:
    """A `Checker` reads *metadata*, changes nothing and appends to ``problems``."""

    def __init__(self, metadata: Checkable) -> None:
        self.problems: list[Problem] = []
        self._metadata = metadata
        self._data = metadata.data_counts()
        self._data_references = References(self._data.nr_blocks)
        self._space: BlockCounts | None = None
        self._space_damage = ""
        try:
            self._space = metadata.metadata_counts()
        except (KernelError, OSError) as error:
            self._space_damage = reason(error)
        saved = metadata.superblock.metadata_space_map
        self._references = References((self._space or saved).nr_blocks)
        self._trees = TreeWalk(metadata.blocks, self._references, self._note, self._damaged)
        self._part = "trees"
        self._unread: set[str] = set()
        """The parts that can't be read whole: "trees", and "data" and "metadata" for the space maps."""

    @property
    def nodes(self) -> int:
        """Return the number of btree nodes that were read."""
        return self._trees.nodes

    @property
    def references(self) -> References:
        """Return the uses of each metadata block that ``check`` found."""
        return self._references

    def check(self, in_flight: Callable[[int], int] = lambda block: 0) -> list[Problem]:
        """Check everything and return the problems; *in_flight* returns the references held by requests.

        Its argument is the number of a data block.
        """
        metadata, superblock = self._metadata, self._metadata.superblock
        for text in metadata.superblock_problems:
            self._note(f"superblock: {text}")
        self._references.add([LOCATION])
        self._check_devices("", superblock.mapping_root, superblock.details_root)
        if superblock.held_root:
            self._check_held(superblock.held_root)
        self._part = "data"
        self._walk_counts("data", self._data)
        self._walk_index(self._data)
        self._part = "metadata"
        space = self._space
        if space is None:
            self._damaged(f"metadata space map index: {self._space_damage}")
        else:
            self._references.add([space.root().bitmap_root])
            self._walk_counts("metadata", space)
            self._walk_bitmaps("metadata", space, range(bitmaps_of(space.nr_blocks)))
        unread = "not all of the metadata can be read: reference counts"
        if not self._unread & {"trees", "data"}:
            self._compare("data", self._data, self._data_references, in_flight)
            unread += " of metadata blocks"
        if not self._unread and space is not None:
            self._compare("metadata", space, self._references, lambda block: 0)
        else:
            self._note(f"{unread} are not checked")
        return self.problems

    def _note(self, text: str, leak: bool = False) -> None:
        self.problems.append(Problem(text, leak))

    def _damaged(self, text: str) -> None:
        self._unread.add(self._part)
        self._note(text)

    def _check_held(self, held_root: int) -> None:
        self._references.add([held_root])
        try:
            copy = self._metadata.held_superblock()
        except (KernelError, OSError) as error:
            self._damaged(f"metadata snapshot: {reason(error)}")
            return
        self._check_devices("metadata snapshot: ", copy.mapping_root, copy.details_root)

    def _check_devices(self, where: str, mapping_root: int, details_root: int) -> None:
        walks = (
            self._walk(f"{where}details tree", details_root, DETAILS_SIZE, _ignore),
            self._walk(f"{where}mapping tree", mapping_root, _NUMBER_SIZE, self._see_trees),
        )
        # The walks have already reported the nodes that can't be read.
        blocks = self._metadata.blocks
        details = dict(readable_entries(blocks, details_root, DETAILS_SIZE))
        roots = dict(readable_entries(blocks, mapping_root, _NUMBER_SIZE))
        if not where:
            for record in self._metadata.records():
                if record.changed and record.thin_id in roots:
                    details[record.thin_id] = record.details()
        for thin_id in sorted(details.keys() ^ roots.keys()) if None not in walks else ():
            lacking = "mapping tree" if thin_id in details else "details"
            self._note(f"{where}thin {thin_id} has no {lacking}")
        for thin_id, root in sorted(roots.items()):
            self._check_device(f"{where}thin {thin_id}", root, details.get(thin_id))

    def _check_device(self, name: str, root: int, raw: tuple[int, ...] | None) -> None:
        # ``_see_trees`` has counted the reference, once per distinct leaf of the mapping tree.
        walk = self._trees.walk(name, root, _NUMBER_SIZE, self._see_mappings)
        if raw is None:
            return
        details, time = DeviceDetails(*raw), self._metadata.superblock.time
        for field in ("creation_time", "snapshotted_time"):
            if getattr(details, field) > time:
                self._note(f"{name}: {field} {getattr(details, field)} is later than the pool's {time}")
        if walk is not None and walk.entries != details.mapped_blocks:
            self._note(f"{name}: {details.mapped_blocks} mapped blocks, but {walk.entries} mappings")

    def _see_trees(self, name: str, node: Node) -> None:
        self._references.add(node.values)

    def _see_mappings(self, name: str, node: Node) -> None:
        time = self._metadata.superblock.time
        beyond = self._data_references.add([packed >> TIME_BITS for packed in node.values])
        if not beyond and max((packed & MAX_TIME for packed in node.values), default=0) <= time:
            return
        blocks = self._data_references.blocks
        for vblock, packed in zip(node.keys, node.values, strict=True):
            if packed >> TIME_BITS >= blocks:
                self._note(f"{name}: block {vblock} maps beyond the pool's {blocks} blocks")
            if packed & MAX_TIME > time:
                self._note(
                    f"{name}: block {vblock} mapped at {packed & MAX_TIME}, later than the pool's {time}"
                )

    def _walk(self, name: str, root: int, value_size: int, see: See) -> WalkedTree | None:
        """Count one reference to *root* and walk its tree; return None if a part is damaged."""
        self._references.add([root])
        return self._trees.walk(name, root, value_size, see)

    def _walk_counts(self, name: str, counts: BlockCounts) -> None:
        self._walk(f"{name} reference counts", counts.root().ref_count_root, _COUNT_SIZE, _ignore)

    def _walk_index(self, counts: BlockCounts) -> None:
        """Walk the index tree of the data space map and its bitmaps."""
        root = counts.root().bitmap_root
        walk = self._walk("data space map index", root, _ENTRY_SIZE, _ignore)
        wanted = bitmaps_of(counts.nr_blocks)
        # Read past the index's cache: there may be far more bitmaps than it has slots.
        found = [number for number, _ in readable_entries(self._metadata.blocks, root, _ENTRY_SIZE)]
        there = sorted(number for number in found if number < wanted)
        if walk is not None and len(there) < wanted:
            self._damaged(
                f"data space map: {counts.nr_blocks} blocks need {wanted} bitmaps, the index has {len(there)}"
            )
        self._walk_bitmaps("data", counts, there)

    def _walk_bitmaps(self, name: str, counts: BlockCounts, numbers: Iterable[int]) -> None:
        for number in numbers:
            try:
                if number >= MAX_BITMAPS and name == "metadata":
                    raise MetadataDamagedError(f"its index has {MAX_BITMAPS} bitmaps, not {number + 1}")
                self._references.add([counts.index.load(number).block])
                counts.bitmap(number)
            except (KernelError, OSError) as error:
                self._damaged(f"{name} space map: {reason(error)}")
                if number >= MAX_BITMAPS and name == "metadata":
                    return

    def _compare(
        self, name: str, counts: BlockCounts, used: References, in_flight: Callable[[int], int]
    ) -> None:
        many = dict(counts.many_entries())
        allocated = 0
        for number in range(bitmaps_of(counts.nr_blocks)):
            base = number * ENTRIES_PER_BITMAP
            length = min(ENTRIES_PER_BITMAP, counts.nr_blocks - base)
            few = counts.bitmap(number).counts[:length]
            allocated += length - few.count(0)
            expected = used.few(number)[:length]
            if few == expected and MANY not in few:
                continue
            for bit in range(length):
                if few[bit] != expected[bit] or few[bit] == MANY:
                    block = base + bit
                    count = many.pop(block, 0) if few[bit] == MANY else few[bit]
                    self._compare_block(name, block, count, used[block], in_flight)
        for block in many:
            self._note(f"{name} block {block}: the tree has a count that the bitmap does not refer to")
        # thin_restore 0.9 writes one too many, which is harmless: there is one block fewer to allocate.
        if allocated > counts.nr_allocated:
            self._note(f"{name} space map: {counts.nr_allocated} blocks counted as used, {allocated} are")

    def _compare_block(
        self, name: str, block: int, count: int, used: int, in_flight: Callable[[int], int]
    ) -> None:
        held = in_flight(block) if count != used else 0
        if count != used + held:
            requests = f" and {held} requests" if held else ""
            leak = count == 1 and not used + held
            self._note(
                f"{name} block {block}: {count} references, but {used} uses{requests}"
                + (": leaked" if leak else ""),
                leak,
            )


def _ignore(name: str, node: Node) -> None:
    pass
