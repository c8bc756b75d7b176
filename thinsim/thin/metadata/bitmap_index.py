"""`BitmapIndex` locates the bitmaps of a space map; it is one block or a btree with a cache."""

from typing import Protocol

from thinsim.thin.metadata.bitmap import IndexEntry, MetadataIndex
from thinsim.thin.metadata.btree import Btree
from thinsim.thin.metadata.btree_spine import ValueType
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.shadowing import TransactionManager
from thinsim.thin.metadata.store import MAX_BITMAPS

_ENTRY_SIZE = 16
_SLOTS = 64
_HASH = 4294967291
_HASH_BITS = 0xFFFFFFFF


class BitmapIndex(Protocol):
    """A `BitmapIndex` maps bitmap numbers to `IndexEntry` values; the superblock stores *root*."""

    root: int

    def create(self) -> None:
        """Create an empty index."""

    def copy(self) -> "BitmapIndex":
        """Return a read-only copy of the index as it is now."""

    def check_length(self, bitmaps: int) -> None:
        """Raise MetadataDamagedError if the index can't have *bitmaps* entries."""

    def load(self, number: int) -> IndexEntry:
        """Return the entry of bitmap *number*."""

    def save(self, number: int, entry: IndexEntry) -> None:
        """Change the entry of bitmap *number*."""

    def commit(self) -> None:
        """Write the changed entries into the metadata blocks."""


class BlockIndex:
    """A `BlockIndex` serves the metadata space map: 255 entries in one block, all kept in memory.

    The kernel's counterpart is metadata_ll_load_ie.
    """

    def __init__(
        self, manager: TransactionManager, root: int = 0, entries: list[IndexEntry] | None = None
    ) -> None:
        self.root = root
        self._manager = manager
        if entries is None:
            entries = (manager.blocks.get(root, MetadataIndex) if root else MetadataIndex()).entries[:]
        self._entries = entries

    def create(self) -> None:
        self.root = self._manager.new_block(MetadataIndex())

    def copy(self) -> "BlockIndex":
        return BlockIndex(self._manager, self.root, self._entries[:])

    def check_length(self, bitmaps: int) -> None:
        if bitmaps > MAX_BITMAPS:
            raise MetadataDamagedError(f"space map too large: {bitmaps} bitmaps, {MAX_BITMAPS} at most")

    def load(self, number: int) -> IndexEntry:
        return self._entries[number]

    def save(self, number: int, entry: IndexEntry) -> None:
        self._entries[number] = entry

    def commit(self) -> None:
        self.root, index, _ = self._manager.shadow(self.root, MetadataIndex)
        # Copy the entries last: the allocation of the shadow changes them.
        index.entries = self._entries[:]


class TreeIndex:
    """A `TreeIndex` serves the data space map: a btree, with a cache of 64 slots.

    A changed slot is written to the btree when it is evicted (disk_ll_load_ie).
    """

    def __init__(self, manager: TransactionManager, root: int = 0) -> None:
        self.root = root
        self._manager = manager
        self._tree = Btree(manager, ValueType(_ENTRY_SIZE))
        self._slots: dict[int, tuple[int, IndexEntry]] = {}
        self._dirty: set[int] = set()

    def create(self) -> None:
        self.root = self._tree.empty()

    def copy(self) -> "TreeIndex":
        return TreeIndex(self._manager, self.root)

    def check_length(self, bitmaps: int) -> None:
        """Accept any number of bitmaps: a btree has no limit."""

    def load(self, number: int) -> IndexEntry:
        slot = number * _HASH & _HASH_BITS & _SLOTS - 1
        held = self._slots.get(slot)
        if held is not None:
            if held[0] == number:
                return held[1]
            self._write_back(slot)
        found = self._tree.lookup(self.root, number)
        if found is None:
            raise MetadataDamagedError(f"the data space map lacks bitmap {number}")
        entry = IndexEntry(*found)
        self._slots[slot] = number, entry
        return entry

    def save(self, number: int, entry: IndexEntry) -> None:
        slot = number * _HASH & _HASH_BITS & _SLOTS - 1
        held = self._slots.get(slot)
        if held is not None and held[0] != number:
            self._write_back(slot)
        self._slots[slot] = number, entry
        self._dirty.add(slot)

    def commit(self) -> None:
        for slot in sorted(self._dirty):
            self._write_back(slot)

    def _write_back(self, slot: int) -> None:
        if slot in self._dirty:
            self._dirty.discard(slot)
            number, entry = self._slots[slot]
            self.root, _ = self._tree.insert(self.root, number, entry)
