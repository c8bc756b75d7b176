"""BlockCache keeps metadata blocks as objects, and what of them is not written yet (dm-block-manager.c)."""

from collections import OrderedDict
from typing import ClassVar, Protocol, Self, TypeVar

from thinsim.thin.metadata.errors import MetadataDamagedError, MetadataReadOnlyError
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE, MetadataStore

CACHE_BLOCKS = 4096
"""Clean blocks that are kept; a bitmap has 16 KiB in memory, a node 4."""


class Block(Protocol):
    """What a metadata block is: a node, bitmap, index or superblock."""

    KIND: ClassVar[str]

    @classmethod
    def decode(cls, content: bytes, block: int) -> Self:
        """Return the object; MetadataDamagedError."""

    def encode(self, block: int) -> bytes:
        """Return the 4096 bytes that stand at *block*."""

    def copy(self) -> Self:
        """Return an independent copy."""


B = TypeVar("B", bound=Block)


class BlockNotResidentError(Exception):
    """Block *number* is not in memory, and the caller said that nothing may be read now."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class BlockCache:
    """Blocks of *store* by number; what was changed stays in memory until ``flush`` writes it.

    While *resident_only* is set, a block that is not in memory raises BlockNotResidentError instead of
    being read, so that a caller that must not wait can fetch it elsewhere (see ``fetch``, ``admit``) and
    try again, as the kernel's non-blocking transaction manager does.
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
        """The device below."""
        return self._store

    def get(self, number: int, kind: type[B]) -> B:
        """Return block *number* to look at. MetadataDamagedError, ``OSError``."""
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
        """Read the bytes of block *number*, past the cache. MetadataDamagedError beyond the device."""
        if number >= self._store.blocks:
            raise MetadataDamagedError(
                f"metadata block {number} is beyond the device's {self._store.blocks} blocks"
            )
        content = self._store.read(number)
        if len(content) != METADATA_BLOCK_SIZE:
            raise MetadataDamagedError(f"metadata block {number} is cut short: {len(content)} bytes")
        return content

    def admit(self, number: int, content: bytes) -> None:
        """Take what ``fetch`` returned for *number*; nothing was written in between."""
        self._admitted[number] = content

    def change(self, number: int, kind: type[B]) -> B:
        """Return block *number* to be changed in place; EPERM while read-only."""
        if self.read_only:
            raise MetadataReadOnlyError
        block = self.get(number, kind)
        self._clean.pop(number, None)
        self._dirty[number] = block
        return block

    def put(self, number: int, block: Block) -> None:
        """Make *block* the content of *number*, whatever was there; EPERM while read-only."""
        if self.read_only:
            raise MetadataReadOnlyError
        self._clean.pop(number, None)
        self._dirty[number] = block

    def flush(self) -> None:
        """Write what was changed, in ascending order, and make it durable."""
        if self.read_only:
            raise MetadataReadOnlyError
        self.write_back()

    def write_back(self) -> None:
        """As ``flush``, read-only or not: what was changed was so before the mode."""
        for number in sorted(self._dirty):
            self._store.write(number, self._dirty[number].encode(number))
        self._store.flush()
        for number, block in self._dirty.items():
            self._keep(number, block)
        self._dirty.clear()

    def reset(self) -> None:
        """Forget everything, changes that were not written included."""
        self._clean.clear()
        self._dirty.clear()
        self._admitted.clear()

    def _keep(self, number: int, block: Block) -> None:
        self._clean[number] = block
        if len(self._clean) > self._limit:
            self._clean.popitem(last=False)
