"""`CommittedMap` reads which data blocks are free, from the metadata device of a pool that is active.

The pool keeps its metadata device open and writes it around the page cache (dm-bufio.c). So this reader uses
O_DIRECT: a page that an earlier reader left in the cache would be old.
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from thinsim.errors import ConflictError, InvariantError
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.free_runs import BlockRun, free_runs
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE
from thinsim.thin.metadata.view import MetadataView


class DirectMetadata:
    """A `DirectMetadata` is a read-only MetadataStore that reads *path* past the page cache.

    ``OSError`` if it can't be opened or read. It is for one thread.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        self._buffer = mmap.mmap(-1, METADATA_BLOCK_SIZE)  # O_DIRECT needs aligned memory
        self._blocks = os.lseek(self._fd, 0, os.SEEK_END) // METADATA_BLOCK_SIZE

    @property
    def blocks(self) -> int:
        return self._blocks

    def read(self, block: int) -> bytes:
        length = os.preadv(self._fd, [self._buffer], block * METADATA_BLOCK_SIZE)
        return self._buffer[:length]

    def write(self, block: int, content: bytes) -> None:
        raise InvariantError("a reclaim never writes metadata")

    def flush(self) -> None:
        """Do nothing: nothing is written."""

    def close(self) -> None:
        """Close the device; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._buffer.close()
            self._fd = -1


class CommittedMap:
    """A `CommittedMap` is the free map that the pool's last commit left on *device*.

    Each :meth:`look` reads it again. As a context manager it closes the device.
    """

    def __init__(self, device: Path) -> None:
        self._store = DirectMetadata(device)

    def look(self) -> "FreeMap":
        """Return the map as it is now; ConflictError if it can't be trusted: the metadata needs a check."""
        try:
            view = MetadataView(self._store)
        except MetadataDamagedError as error:
            raise ConflictError(f"the pool's superblock is damaged: {error}") from error
        if view.superblock_problems:
            raise ConflictError(f"the pool's superblock is damaged: {'; '.join(view.superblock_problems)}")
        if view.superblock.needs_check:
            raise ConflictError(
                "the pool's metadata has the flag needs_check: deactivate the pool and run thin_repair first"
            )
        return FreeMap(view)

    def __enter__(self) -> "CommittedMap":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.close()


class FreeMap:
    """A `FreeMap` has the free data blocks of one commit; it reads bitmaps when they are asked for."""

    def __init__(self, view: MetadataView) -> None:
        self._counts = view.data_counts()
        self.transaction_id = view.superblock.transaction_id
        """The transaction id of the superblock."""
        self.block_sectors = view.superblock.data_block_size
        """The size of a data block in sectors."""

    @property
    def blocks(self) -> int:
        """Return the number of data blocks."""
        return self._counts.nr_blocks

    @property
    def free_blocks(self) -> int:
        """Return the number of free data blocks."""
        return self._counts.nr_blocks - self._counts.nr_allocated

    def runs(self, begin: int, end: int) -> Iterator[BlockRun]:
        """Yield the runs of free blocks from *begin* to before *end*. ConflictError if the map is damaged."""
        try:
            yield from free_runs(self._counts, begin, end)
        except MetadataDamagedError as error:
            raise ConflictError(f"the pool's free map is damaged: {error}") from error
