"""`probe` finds by trials at which height discards die, and a size of file whose discards live."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from fuse_backing.mounts import mounts
from thinsim.errors import ConflictError, EnvironmentLacksError, InvalidValueError
from thinsim.node.stack.counting import counted_heights
from thinsim.node.stack.file_systems import OVERLAY
from thinsim.node.stack.height import HeightKind
from thinsim.node.stack.passing import least_sizes
from thinsim.node.stack.trial import Trial, try_discard
from thinsim.node.stack.walking import Stack
from thinsim.units import format_size

DEFAULT_SIZE = 64 << 20
_LARGEST = 1 << 30
"""The largest file that a probe chooses itself."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A `Probe` has the trials in their order. Each one has a file of its own, which is gone afterwards."""

    trials: tuple[Trial, ...]
    """The trials."""
    smallest_that_lived: int | None
    """The size of the smallest file whose discards arrived at the lowest height counted; null if none."""


async def probe(path: Path, stack: Stack, size: int | None, note: Callable[[str], object]) -> Probe:
    """Probe the file system at the top of *stack* with files in the directory *path*.

    *size* is the size of the first file in bytes, None for the usual one. If its discards die, further trials
    ask fstrim for whole units, or take a file that should be large enough. Raises InvalidValueError if no
    file system is at the top, ConflictError if it takes no files, EnvironmentLacksError if it has no room.
    """
    _check(path, stack)
    room = await trio.to_thread.run_sync(_room, path)
    chosen = min(DEFAULT_SIZE, room // 2) if size is None else size
    if chosen > room or chosen <= 0:
        raise EnvironmentLacksError(
            f"{path} has {format_size(room)} free, not enough for a file of {format_size(chosen)}: name a "
            "size with --size"
        )
    trials: list[Trial] = []

    async def attempt(of: int, minimum: int = 0) -> Trial:
        least = f", extents of {format_size(minimum)} and more" if minimum else ""
        note(f"writing, removing and trimming a file of {format_size(of)}{least}")
        trials.append(await try_discard(stack, path, of, minimum))
        return trials[-1]

    first = await attempt(chosen)
    counted = counted_heights(stack.heights)
    part = stack.heights[: max(counted, default=0) + 1]
    least = least_sizes(part)
    if first.death is not None and least is not None:
        if first.trimmed:
            await attempt(chosen, least.aligned)
        if all(each.death for each in trials) and chosen < least.certain <= min(room, _LARGEST):
            await attempt(least.certain)
    lived = [each.size for each in trials if each.death is None]
    return Probe(tuple(trials), min(lived, default=None))


def _check(path: Path, stack: Stack) -> None:
    top = stack.heights[0]
    if stat.S_ISBLK(path.stat().st_mode):
        mounted = next((mount for mount in mounts() if mount.device == top.device), None)
        fix = (
            f"it is mounted, so run: thinsim heights --probe {mounted.mountpoint}"
            if mounted
            else "make a file system on it, mount that, and name the mount"
        )
        raise InvalidValueError(f"{path} is a block device, and --probe writes only a file of its own: {fix}")
    if top.type == OVERLAY and top.below:
        below = stack.heights[top.below[0].height].name
        raise InvalidValueError(
            f"{path} is on an overlay, which takes no fstrim; probe the file system of its upperdir, run: "
            f"thinsim heights --probe {below}"
        )
    if top.kind is not HeightKind.FILE_SYSTEM or not top.passes:
        raise ConflictError(f"{path} cannot be probed: {top.reason or f'it is on a {top.kind.value}'}")


def _room(path: Path) -> int:
    about = os.statvfs(path)
    return about.f_bavail * about.f_frsize
