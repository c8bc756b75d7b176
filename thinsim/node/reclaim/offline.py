"""`reclaim_offline` discards the free blocks of a pool that is not active, as thin_trim does.

It also takes images in plain files, which thin_trim refuses.
"""

import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import trio

from thinsim.block import loop
from thinsim.block.kernel_view import size as device_size
from thinsim.dm.metadata_device import metadata_view, open_store
from thinsim.errors import ConflictError, InvalidValueError, KernelError
from thinsim.node.reclaim.candidates import FreedRun, candidates, held_bytes
from thinsim.node.reclaim.committed_map import FreeMap
from thinsim.node.reclaim.data_place import PoolData, place_of_image
from thinsim.node.reclaim.progress import ProgressReport, ReclaimProgress
from thinsim.thin.metadata.check import Checker
from thinsim.thin.metadata.view import MetadataView
from thinsim.units import SECTOR_SIZE

_LARGEST_PIECE = 1 << 30


async def reclaim_offline(
    data: Path, metadata: Path, min_run: int, progress: ReclaimProgress, report: ProgressReport
) -> None:
    """Discard the blocks of *data* that *metadata* names as free, and for which the host holds space.

    Runs of less than *min_run* bytes are left. ConflictError if a pool, a mount or a loop device holds one of
    the two, or if the metadata is not clean. InvalidValueError if *data* is too small for the metadata.
    """
    begun = trio.current_time()
    async with offline_pool(data, metadata) as (free_map, place):
        block_bytes = free_map.block_sectors * SECTOR_SIZE
        found = offline_candidates(free_map, place, min_run)
        progress.begin(found, place)
        progress.rounds = 1
        try:
            for each in found:
                for offset, length in _pieces(each, block_bytes, place.freer.unit):
                    await trio.to_thread.run_sync(_punch, place, offset, length)
                    progress.discarded += length
                    report(progress)
            progress.complete = True
        finally:
            progress.held_after = place.held()
            if place.file is not None:
                progress.left = held_bytes(offline_candidates(free_map, place, min_run))
                progress.freed = progress.promised - progress.left
            progress.seconds = trio.current_time() - begun


async def promise_offline(data: Path, metadata: Path, min_run: int, progress: ReclaimProgress) -> None:
    """Count in *progress* what `reclaim_offline` would free. Raises what it raises."""
    async with offline_pool(data, metadata) as (free_map, place):
        progress.begin(offline_candidates(free_map, place, min_run), place)


@asynccontextmanager
async def offline_pool(data: Path, metadata: Path) -> AsyncIterator[tuple[FreeMap, PoolData]]:
    """Open both devices of a pool that is not active. Raises what `reclaim_offline` raises."""
    for path in (data, metadata):
        _refuse_attached(path)
    store = open_store(metadata)
    try:
        view = metadata_view(metadata, store)
        _require_clean(metadata, view)
        free_map = FreeMap(view)
        size = free_map.blocks * free_map.block_sectors * SECTOR_SIZE
        found = _size_of(data)
        if found < size:
            raise InvalidValueError(
                f"{data} has {found} bytes, and the data of {metadata} needs {size}: they are not of one pool"
            )
        with closing(await place_of_image(data, size)) as place:
            yield free_map, place
    finally:
        store.close()


def offline_candidates(free_map: FreeMap, place: PoolData, min_run: int) -> Sequence[FreedRun]:
    """Return the candidates of a pool that is not active."""
    free = free_map.runs(0, free_map.blocks)
    return list(candidates(free, place.allocated(), free_map.block_sectors * SECTOR_SIZE, min_run))


def _refuse_attached(path: Path) -> None:
    """Raise ConflictError if a loop device shows the file *path*: its user would lose data."""
    try:
        wanted = path.stat()
    except OSError as error:
        raise InvalidValueError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(wanted.st_mode):
        return
    for device, file in loop.attached_devices().items():
        if _is_file_of(device, Path(file), wanted):
            raise ConflictError(
                f"{path} is in use by {device}: losetup --detach {device}, if nobody needs it"
            )


def _is_file_of(device: Path, file: Path, wanted: os.stat_result) -> bool:
    """Return whether *device* shows the file *wanted*; the kernel names it *file*.

    The device itself is opened only if nothing has that name: an open delays a detach of its owner.
    """
    with suppress(OSError):
        found = file.stat()
        return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
    try:
        node = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # detached meanwhile
    try:
        attached = loop.file_of(node)
    except OSError:
        return False
    finally:
        os.close(node)
    return (attached.device, attached.inode) == (wanted.st_dev, wanted.st_ino)


def _require_clean(metadata: Path, view: MetadataView) -> None:
    if view.superblock.needs_check:
        raise ConflictError(f"{metadata} has the flag needs_check: run thin_repair first")
    problems = Checker(view).check()
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConflictError(
            f"{metadata} is not clean: {problems[0].text}{more}; thinsim metadata check lists all, and "
            "thin_repair repairs it"
        )


def _size_of(path: Path) -> int:
    found = path.stat()
    return device_size(path) if stat.S_ISBLK(found.st_mode) else found.st_size


def _pieces(run: FreedRun, block_bytes: int, unit: int) -> Iterator[tuple[int, int]]:
    begin, end = -(-run.begin * block_bytes // unit) * unit, run.end * block_bytes // unit * unit
    for offset in range(begin, end, _LARGEST_PIECE):
        yield offset, min(_LARGEST_PIECE, end - offset)


def _punch(place: PoolData, offset: int, length: int) -> None:
    try:
        place.freer.punch(offset, length)
    except OSError as error:
        raise KernelError(error.errno or 0, f"{place.freer.words} at byte {offset}") from error
