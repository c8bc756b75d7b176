"""`BlockCache` keeps decoded metadata blocks, and changes not yet written (dm-block-manager.c)."""

from collections import OrderedDict
from typing import ClassVar, Protocol, Self, TypeVar

from thinsim.thin.metadata.errors import MetadataDamagedError, MetadataReadOnlyError
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE, MetadataStore

CACHE_BLOCKS = 4096
"""The number of clean blocks in the cache; in memory, a bitmap takes 16 KiB and a node 4 KiB."""


class Block(Protocol):
    """A `Block` is a decoded metadata block: a node, bitmap, index or superblock."""

    KIND: ClassVar[str]

    @classmethod
    def decode(cls, content: bytes, block: int) -> Self:
        """Return the object in *content*; MetadataDamagedError if it is not of this kind."""

    def encode(self, block: int) -> bytes:
        """Return the 4096 bytes to write at *block*."""

    def copy(self) -> Self:
        """Return an independent copy."""


B = TypeVar("B", bound=Block)


class BlockNotResidentError(Exception):
    """Block *number* is not in memory, and the caller has set *resident_only*."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class BlockCache:
    """A `BlockCache` reads the blocks of *store*; changes stay in memory until ``flush`` writes them.

    While *resident_only* is set, BlockNotResidentError is raised for a block that is not in memory. A caller
    that must not wait can then fetch the block elsewhere (see ``fetch`` and ``admit``) and try again, as the
    kernel's non-blocking transaction manager does.
    """

    def __init__(self, store: MetadataStore, limit: int = CACHE_BLOCKS) -> None:
        self.read_only = False
        self.resident_only = False
        self._store = store
        self._limit = limit
        self._clean: OrderedDict[int, Block] = OrderedDict()
        self._admitted: dict[int, bytes] = {}
        self._dirty: dict[int, Block] = {}

    @property
    def store(self) -> MetadataStore:
        """Return the device that the cache reads and writes."""
        return self._store

    def get(self, number: int, kind: type[B]) -> B:
        """Return block *number*, which the caller must not change. MetadataDamagedError, ``OSError``."""
        found = self._dirty.get(number)
        if found is None:
            found = self._clean.get(number)
            if found is None:
                content = self._admitted.pop(number, None)
                if content is None:
                    if self.resident_only:
                        raise BlockNotResidentError(number)
                    content = self.fetch(number)
                found = kind.decode(content, number)
                self._keep(number, found)
            else:
                self._clean.move_to_end(number)
        if found.__class__ is not kind:
            raise MetadataDamagedError(f"metadata block {number} is a {found.KIND}, not a {kind.KIND}")
        return found

    def fetch(self, number: int) -> bytes:
        """Read block *number* from the device, not the cache; MetadataDamagedError beyond the device."""
        if number >= self._store.blocks:
            raise MetadataDamagedError(
                f"metadata block {number} is beyond the device's {self._store.blocks} blocks"
            )
        content = self._store.read(number)
        if len(content) != METADATA_BLOCK_SIZE:
            raise MetadataDamagedError(f"metadata block {number} is cut short: {len(content)} bytes")
        return content

    def admit(self, number: int, content: bytes) -> None:
        """Keep the bytes that ``fetch`` returned for *number*; no write may come in between."""
        self._admitted[number] = content

    def check_writable(self) -> None:
        """Raise MetadataReadOnlyError (EPERM) while read-only."""
        if self.read_only:
            raise MetadataReadOnlyError

    def change(self, number: int, kind: type[B]) -> B:
        """Return block *number* for a change in place; EPERM while read-only."""
        self.check_writable()
        block = self.get(number, kind)
        self._clean.pop(number, None)
        self._dirty[number] = block
        return block

    def put(self, number: int, block: Block) -> None:
        """Replace the content of block *number* by *block*; EPERM while read-only."""
        self.check_writable()
        self._clean.pop(number, None)
        self._dirty[number] = block

    def flush(self) -> None:
        """Write the changed blocks in ascending order and make them durable; EPERM while read-only."""
        self.check_writable()
        self.write_back()

    def write_back(self) -> None:
        """Write the changed blocks even while read-only: they were changed before the cache became so."""
        for number in sorted(self._dirty):
            self._store.write(number, self._dirty[number].encode(number))
        self._store.flush()
        for number, block in self._dirty.items():
            self._keep(number, block)
        self._dirty.clear()

    def reset(self) -> None:
        """Forget all blocks, including changes that were not written."""
        self._clean.clear()
        self._dirty.clear()
        self._admitted.clear()

    def _keep(self, number: int, block: Block) -> None:
        self._clean[number] = block
        if len(self._clean) > self._limit:
            self._clean.popitem(last=False)
