"""These functions compute what becomes of a discard on its way down the heights. Pure.

A file system discards only ranges of a least length. A thin device unmaps whole data blocks only, and passes
down those that no other device shares. A file system frees whole blocks of a punched file, and a disk whole
granules. Every other height passes a discard on as it is; the block layer splits it, but drops nothing.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fuse_backing.allocation import merged
from thinsim.node.stack.height import HeightKind, Lower, StackHeight
from thinsim.ranges import Range, total
from thinsim.units import format_size


@dataclass(frozen=True, slots=True)
class HeightPassage:
    """A `HeightPassage` is what one height does with the discards that arrive there."""

    height: int
    """The index of the height."""
    arrived: int
    """The bytes that arrive."""
    passed: int
    """The bytes that the height frees or passes on."""
    reason: str
    """The reason if it drops some; otherwise empty."""


@dataclass(frozen=True, slots=True)
class LeastSizes:
    """A `LeastSizes` has the smallest discards at the top of which some bytes live to the lowest height."""

    aligned: int
    """The smallest discard that lives if it begins at the best place, in bytes."""
    certain: int
    """The smallest discard that lives wherever it begins, in bytes."""
    limited_by: int
    """The index of the height with the largest unit."""


def passages(
    heights: Sequence[StackHeight],
    ranges: Iterable[Range],
    shared: Callable[[Range], bool] = lambda block: False,
) -> list[HeightPassage]:
    """Return what becomes of discards of *ranges* at the top, for each height in order.

    *ranges* are sorted and disjoint, in bytes of the first height. *shared* is asked for each data block of a
    thin device, with the block's range there, and returns whether another device also maps it. Below a height
    that maps blocks to any place, the ranges keep their offsets, so their alignment stays right as long as
    the mapping keeps blocks together.
    """
    arriving: list[list[Range]] = [[] for _ in heights]
    if heights:
        arriving[0] = merged(ranges)
    found = []
    for number, height in enumerate(heights):
        there = merged(sorted(arriving[number]))
        freed, reason = _kept(height, there)
        onward = freed
        if height.kind is HeightKind.THIN and height.unit > 1:
            onward = _not_shared(freed, height.unit, shared)
            if onward != freed:
                reason = reason or "another thin device shares some of the data blocks"
        found.append(HeightPassage(number, total(there), total(onward), reason))
        for lower in height.below:
            arriving[lower.height] += _moved(onward, lower)
    return found


def obstacles(heights: Sequence[StackHeight]) -> list[int]:
    """Return the indexes of the heights at which all discards die, from the top."""
    return [number for number, height in enumerate(heights) if not height.passes]


def least_sizes(heights: Sequence[StackHeight]) -> LeastSizes | None:
    """Return the smallest discards that live to the lowest height; None if none does.

    A discard begins at any multiple of the unit of the first height.
    """
    if not heights or obstacles(heights):
        return None
    step = max(heights[0].unit, 1)
    unit = math.lcm(*(max(height.unit, 1) for height in heights))
    shortest = max(height.shortest for height in heights)
    offset = any(height.limits and height.limits.alignment for height in heights)
    aligned = _up(max(unit, shortest), step)
    # A range of twice the unit, less one step, has a whole unit wherever it begins.
    certain = max(aligned, 2 * unit - (1 if offset else math.gcd(step, unit)))
    limiting = max(range(len(heights)), key=lambda number: (heights[number].unit, -number))
    return LeastSizes(aligned, _up(certain, step), limiting)


def whole_units(ranges: Iterable[Range], unit: int, first: int = 0) -> list[Range]:
    """Return the whole units inside each range; a unit begins at *first* and at every multiple after it."""
    inside = []
    for start, end in ranges:
        begin = _up(start - first, unit) + first
        stop = (end - first) // unit * unit + first
        if begin < stop:
            inside.append((begin, stop))
    return inside


def _kept(height: StackHeight, ranges: list[Range]) -> tuple[list[Range], str]:
    """Return the ranges that a height frees or passes on, and the reason if it drops a part."""
    if not ranges or not height.passes:
        return [], height.reason if ranges else ""
    long = [(start, end) for start, end in ranges if end - start >= height.shortest]
    first = height.limits.alignment if height.kind is HeightKind.DISK and height.limits is not None else 0
    kept = whole_units(long, height.unit, first)
    if kept == ranges:
        return kept, ""
    if long != ranges and height.shortest >= height.unit:
        return kept, f"it discards no range shorter than {format_size(height.shortest)}"
    return kept, f"it frees only whole units of {format_size(height.unit)}"


def _not_shared(ranges: list[Range], unit: int, shared: Callable[[Range], bool]) -> list[Range]:
    blocks = ((begin, begin + unit) for start, end in ranges for begin in range(start, end, unit))
    return merged(block for block in blocks if not shared(block))


def _moved(ranges: Iterable[Range], lower: Lower) -> list[Range]:
    """Return the parts of *ranges* that belong to *lower*, at their place there."""
    end = None if lower.length is None else lower.begin + lower.length
    moved = []
    for start, stop in ranges:
        first, last = max(start, lower.begin), stop if end is None else min(stop, end)
        if first < last:
            shift = 0 if lower.start is None else lower.start - lower.begin
            moved.append((first + shift, last + shift))
    return moved


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit
