"""A bitmap index tells where bitmaps stand: in one block, or in a btree behind a cache."""

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
    """Bitmap number to IndexEntry; *root* is what the superblock names."""

    root: int

    def create(self) -> None:
        """Make an empty index."""

    def copy(self) -> "BitmapIndex":
        """Return the index as it is now, to look at."""

    def check_length(self, bitmaps: int) -> None:
        """Raise MetadataDamagedError when the index can't have that many entries."""

    def load(self, number: int) -> IndexEntry:
        """Return the entry of bitmap *number*."""

    def save(self, number: int, entry: IndexEntry) -> None:
        """Change the entry of bitmap *number*."""

    def commit(self) -> None:
        """Put what was changed into the metadata."""


class BlockIndex:
    """The metadata space map's: 255 entries in one block, all in memory (metadata_ll_load_ie)."""

    def __init__(
        self, manager: TransactionManager, root: int = 0, entries: list[IndexEntry] | None = None
    ) -> None:
        self.root = root
        self._manager = manager
        if entries is None:
            entries = (manager.blocks.get(root, MetadataIndex) if root else MetadataIndex()).entries[:]
        self._entries = entries

    def create(self) -> None:
        """See BitmapIndex."""
        self.root = self._manager.new_block(MetadataIndex())

    def copy(self) -> "BlockIndex":
        """See BitmapIndex."""
        return BlockIndex(self._manager, self.root, self._entries[:])

    def check_length(self, bitmaps: int) -> None:
        """See BitmapIndex."""
        if bitmaps > MAX_BITMAPS:
            raise MetadataDamagedError(f"space map too large: {bitmaps} bitmaps, {MAX_BITMAPS} at most")

    def load(self, number: int) -> IndexEntry:
        """See BitmapIndex."""
        return self._entries[number]

    def save(self, number: int, entry: IndexEntry) -> None:
        """See BitmapIndex."""
        self._entries[number] = entry

    def commit(self) -> None:
        """See BitmapIndex."""
        self.root, index, _ = self._manager.shadow(self.root, MetadataIndex)
        # Only now: finding a block for the shadow has changed entries.
        index.entries = self._entries[:]


class TreeIndex:
    """The data space map's: a btree, behind 64 slots that are written when evicted (disk_ll_load_ie)."""

    def __init__(self, manager: TransactionManager, root: int = 0) -> None:
        self.root = root
        self._manager = manager
        self._tree = Btree(manager, ValueType(_ENTRY_SIZE))
        self._slots: dict[int, tuple[int, IndexEntry]] = {}
        self._dirty: set[int] = set()

    def create(self) -> None:
        """See BitmapIndex."""
        self.root = self._tree.empty()

    def copy(self) -> "TreeIndex":
        """See BitmapIndex."""
        return TreeIndex(self._manager, self.root)

    def check_length(self, bitmaps: int) -> None:
        """See BitmapIndex."""

    def load(self, number: int) -> IndexEntry:
        """See BitmapIndex."""
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
        """See BitmapIndex."""
        slot = number * _HASH & _HASH_BITS & _SLOTS - 1
        held = self._slots.get(slot)
        if held is not None and held[0] != number:
            self._write_back(slot)
        self._slots[slot] = number, entry
        self._dirty.add(slot)

    def commit(self) -> None:
        """See BitmapIndex."""
        for slot in sorted(self._dirty):
            self._write_back(slot)

    def _write_back(self, slot: int) -> None:
        if slot in self._dirty:
            self._dirty.discard(slot)
            number, entry = self._slots[slot]
            self.root, _ = self._tree.insert(self.root, number, entry)
