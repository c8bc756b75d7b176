"""`CommittedMap` reads which data blocks are free, from the metadata device of a pool that is active.

It reads past the page cache: a page that an earlier reader left there would be old.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from thinsim.errors import ConflictError
from thinsim.node.direct_metadata import DirectMetadata
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.free_runs import BlockRun, free_runs
from thinsim.thin.metadata.view import MetadataView


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
