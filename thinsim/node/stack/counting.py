"""`count` reads at each height the numbers that a discard changes: requests, bytes, allocated space."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from fuse_backing.allocation import total
from thinsim.block.kernel_view import Traffic, traffic_in
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.errors import InvalidValueError
from thinsim.node.stack.block_view import SYS
from thinsim.node.stack.height import HeightKind, StackHeight
from thinsim.node.stack.walking import Stack
from thinsim.rig.host_file import host_allocation
from thinsim.thin.status import parse_pool_status

_FILES = (HeightKind.FILE, HeightKind.IMAGE)


@dataclass(frozen=True, slots=True)
class HeightCount:
    """A `HeightCount` has the numbers of one height at one moment; None for what it does not have."""

    requests: int | None = None
    """Discards that have arrived at the device since its creation."""
    discarded: int | None = None
    """The bytes of these discards."""
    held: int | None = None
    """Bytes in the used blocks of a pool, or bytes that the host has allocated for a file."""


def counted_heights(heights: Sequence[StackHeight]) -> list[int]:
    """Return the indexes of the heights that can be counted: those down to the next file system.

    A hole in an image frees space of the file system that has it. That file system passes it on in its own
    time, together with the discards of all its other users. Pure.
    """
    reached = {0}
    for number, height in enumerate(heights):
        if number in reached and (number == 0 or height.kind is not HeightKind.FILE_SYSTEM):
            reached.update(lower.height for lower in height.below)
    return [
        number
        for number in sorted(reached)
        if heights[number].limits is not None or heights[number].kind in _FILES
    ]


async def count(stack: Stack) -> dict[int, HeightCount]:
    """Return the numbers of the heights that can be counted, by index."""
    return {number: await _count(stack, number) for number in counted_heights(stack.heights)}


def arrived(stack: Stack) -> list[int]:
    """Return the bytes of discards that have arrived at each device that can be counted."""
    heights = (stack.heights[number] for number in counted_heights(stack.heights))
    traffic = (_traffic(height) for height in heights)
    return [each.discarded_bytes for each in traffic if each is not None]


async def _count(stack: Stack, number: int) -> HeightCount:
    height = stack.heights[number]
    if height.kind in _FILES:
        return HeightCount(held=await trio.to_thread.run_sync(_allocated, Path(height.name)))
    held = None
    table = stack.tables.get(number)
    if height.kind is HeightKind.THIN_POOL and table is not None and height.pool_block is not None:
        try:
            held = parse_pool_status(await table.status()).used_data * height.pool_block
        except InvalidValueError:
            held = None
    if (
        height.kind is HeightKind.THIN_POOL
        and table is not None
        and isinstance(table.dm, EmulatedDeviceMapper)
    ):
        return HeightCount(held=held)  # no request goes through the node of an emulated pool
    seen = _traffic(height)
    return HeightCount(held=held) if seen is None else HeightCount(seen.discards, seen.discarded_bytes, held)


def _traffic(height: StackHeight) -> Traffic | None:
    """Return the counters of a device; None for another height, or if the device has just gone."""
    if height.device is None or height.limits is None:
        return None
    try:
        return traffic_in(SYS / "dev" / "block" / height.device)
    except (OSError, IndexError):  # it is gone, or the kernel has no such counters (before Linux 4.18)
        return None


def _allocated(file: Path) -> int | None:
    """Return the bytes that the host holds for *file*; None if it cannot be read."""
    try:
        return total(host_allocation(file).held)
    except OSError:
        return None
