"""`try_discard` writes a file, removes it, trims its place, and counts what arrives at each height.

The file never has a name (O_TMPFILE, or a file that is removed as soon as it is open), so the kernel frees
it however this process ends.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from errno import EINVAL, ENOTTY, EOPNOTSUPP, EPERM
from functools import partial
from pathlib import Path

import trio

from fuse_backing.allocation import mapped_extents, merged
from fuse_backing.system_calls import syncfs
from thinsim.block.trim import trim
from thinsim.errors import EnvironmentLacksError
from thinsim.machine.root import if_not_root
from thinsim.node.stack.counting import arrived, count
from thinsim.node.stack.file_systems import discards_at_once
from thinsim.node.stack.verdict import Death, HeightEffect, effects_of, judge
from thinsim.node.stack.walking import Stack
from thinsim.ranges import Range

_PIECE = 1 << 20
_PATIENCE = 5.0
"""Seconds to wait until the file system has freed the blocks of the removed file."""
_QUIET = 1.0
"""Seconds without a new discard after which a file system that discards at once is done."""
_QUIET_AFTER_TRIM = 0.3
"""Seconds without a new discard after which fstrim is done: XFS sends discards that it does not wait for."""
_TRIMS = 2
"""Times to trim: XFS skips what it has just freed or still discards (fs/xfs/xfs_discard.c)."""
_REFUSALS = {
    EOPNOTSUPP: "fstrim is refused: the device below takes no discards",
    ENOTTY: "fstrim is refused: the file system cannot send discards",
    EINVAL: "fstrim is refused: its limits do not fit the file system",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A `Trial` is one file that was written, removed and trimmed, with the effects at each height."""

    size: int
    """The size of the file in bytes."""
    minimum: int
    """The least extent in bytes that fstrim was asked for, as with `fstrim -m`."""
    extents: int
    """The number of ranges of the file system that the file had."""
    longest: int
    """The longest of these ranges in bytes."""
    trimmed: int | None
    """The bytes that fstrim discarded according to the file system; null if it refused."""
    effects: tuple[HeightEffect, ...]
    """The effects at the heights that have counts, from the top."""
    death: Death | None
    """The place where the discard died; null if it arrived at the lowest height that has counts."""


async def try_discard(stack: Stack, root: Path, size: int, minimum: int = 0) -> Trial:
    """Carry out a trial in the directory *root*, on the file system at the top of *stack*.

    Raises EnvironmentLacksError if the file system has no FIEMAP, or without permission; ``OSError`` from
    writing.
    """
    in_thread = trio.to_thread.run_sync
    file = await in_thread(partial(tempfile.TemporaryFile, dir=root, buffering=0))
    try:
        for offset in range(0, size, _PIECE):
            await in_thread(_write, file.fileno(), os.urandom(min(_PIECE, size - offset)), offset)
        ranges = await in_thread(_ranges, file.fileno(), size, root)
        await in_thread(_write_back, root)
        full, free = await count(stack), await in_thread(_free, root)
    finally:
        file.close()
    await _until_freed(root, free + size * 9 // 10)
    if discards_at_once(stack.heights[0].options):
        await _until_quiet(stack, _QUIET)
    removed = await count(stack)
    for _ in range(_TRIMS):
        trimmed, refused = await in_thread(_trim, root, ranges, minimum)
        await _until_quiet(stack, _QUIET_AFTER_TRIM)
        effects = effects_of(full, removed, await count(stack))
        if refused or any(each.arrived for each in effects):
            break
    return Trial(
        size=size,
        minimum=minimum,
        extents=len(ranges),
        longest=max(end - start for start, end in ranges),
        trimmed=None if refused else trimmed,
        effects=effects,
        death=judge(stack.heights, ranges, effects, refused),
    )


def _write(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def _ranges(fd: int, size: int, root: Path) -> list[Range]:
    """Return the places of the file in the file system's addresses, after a write-back."""
    os.fsync(fd)
    found = mapped_extents(fd, 0, size, sync=True)
    ranges = merged(sorted((each.physical, each.physical + each.end - each.start) for each in found))
    if not ranges or any(not each.physical or each.inline for each in found):
        raise EnvironmentLacksError(f"the file system of {root} does not show where a file is (no FIEMAP)")
    return ranges


def _write_back(root: Path) -> None:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)


def _free(root: Path) -> int:
    about = os.statvfs(root)
    return about.f_bfree * about.f_frsize


async def _until_freed(root: Path, free: int) -> None:
    """Wait until *free* bytes are free, on the disk as well.

    XFS frees blocks in the background (fs/xfs/xfs_icache.c), and discards none that its log has not yet
    recorded as free (fs/xfs/xfs_discard.c).
    """
    with trio.move_on_after(_PATIENCE):
        await trio.to_thread.run_sync(_write_back, root)
        while await trio.to_thread.run_sync(_free, root) < free:
            await trio.sleep(0.1)
            await trio.to_thread.run_sync(_write_back, root)
    await trio.to_thread.run_sync(_write_back, root)


async def _until_quiet(stack: Stack, quiet: float) -> None:
    """Wait until no discard has arrived for *quiet* seconds; ext4 sends them later (fs/ext4/mballoc.c)."""
    last, since = arrived(stack), trio.current_time()
    until = since + _PATIENCE
    while trio.current_time() < min(since + quiet, until):
        await trio.sleep(0.1)
        now = arrived(stack)
        if now != last:
            last, since = now, trio.current_time()


def _trim(root: Path, ranges: Sequence[Range], minimum: int) -> tuple[int, str]:
    """Trim the *ranges* of a removed file; return the discarded bytes, or the reason of a refusal."""
    done = 0
    for start, end in ranges:
        try:
            done += trim(root, start=start, length=end - start, minimum=minimum)
        except OSError as error:
            if error.errno == EPERM:
                raise EnvironmentLacksError(
                    f"fstrim of {root} is not permitted{if_not_root('Probes')}"
                ) from error
            if error.errno not in _REFUSALS:
                raise
            return done, _REFUSALS[error.errno]
    return done, ""
