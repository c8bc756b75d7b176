"""`CommittedMap` reads which data blocks are free, from the metadata device of a pool that is active.

It reads past the page cache: a page that an earlier reader left there would be old.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from thinsim.block.linux import LinuxBlockDevice
from thinsim.dm.metadata_device import MetadataDevice
from thinsim.errors import ConflictError
from thinsim.node.reclaim.candidates import FreedRun, candidates
from thinsim.ranges import Range
from thinsim.snapshotter.pool_contents import ClosableStore
from thinsim.thin.metadata.errors import MetadataDamagedError
from thinsim.thin.metadata.free_runs import BlockRun, free_runs
from thinsim.thin.metadata.view import MetadataView
from thinsim.units import SECTOR_SIZE

_LOOKS = 5
"""Tries to read the map of a pool that runs: a commit may change it meanwhile."""


class CommittedMap:
    """A `CommittedMap` is the free map that the pool's last commit left on *store*.

    Each :meth:`look` reads it again. As a context manager it closes the store.
    """

    def __init__(self, store: ClosableStore) -> None:
        self._store = store

    @classmethod
    def on(cls, device: Path) -> Self:
        """Return the map on *device*, read past the page cache. ``OSError``."""
        return cls(MetadataDevice(LinuxBlockDevice(device, read_only=True)))

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

    def __enter__(self) -> Self:
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


def freed_runs_of(
    committed: CommittedMap,
    allocated: Callable[[], Sequence[Range] | None],
    block_bytes: int,
    min_run: int = 0,
) -> list[FreedRun]:
    """Return the freed runs by a map that may change meanwhile: a pause reads it again.

    *allocated* returns the ranges that the host has allocated now, None if they are not known. Runs of less
    than *min_run* bytes are left out. ConflictError if the map can't be read, or is of another pool.
    """
    for left in reversed(range(_LOOKS)):
        try:
            now = committed.look()
            if now.block_sectors * SECTOR_SIZE != block_bytes:
                raise ConflictError("the metadata has another block size than the pool's table")
            free = list(now.runs(0, now.blocks))
            break
        except ConflictError:
            if not left:
                raise
    return list(candidates(free, allocated(), block_bytes, min_run))
