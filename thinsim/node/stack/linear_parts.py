"""`linear_parts` finds where the bytes of a stack's first height are on the loop device below. Pure.

Partitions, linear volumes and dm-crypt keep every byte at a fixed place of the device below.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from thinsim.node.stack.height import HeightKind, StackHeight

_LINEAR = frozenset({HeightKind.PARTITION, HeightKind.LINEAR, HeightKind.CRYPT})


@dataclass(frozen=True, slots=True, order=True)
class LinearPart:
    """A `LinearPart` is a part of a device that is at one place of a device or a file below, in bytes."""

    begin: int
    """The first byte of the part."""
    length: int
    start: int
    """The byte below at which the part begins."""


def linear_parts(heights: Sequence[StackHeight]) -> tuple[StackHeight, Sequence[LinearPart]] | None:
    """Return the loop device below, and the parts of the first height on it, in order.

    Returns None if a height maps blocks to any place, or if not exactly one loop device is below.
    """
    loops: set[int] = set()
    found: list[LinearPart] = []
    pending = [(0, LinearPart(0, heights[0].size or 0, 0))] if heights else []
    while pending:
        number, part = pending.pop()
        height = heights[number]
        if height.kind is HeightKind.LOOP:
            loops.add(number)
            found.append(part)
            continue
        if height.kind not in _LINEAR:
            return None
        for lower in height.below:
            if lower.start is None:
                return None
            end = part.start + part.length
            first = max(part.start, lower.begin)
            last = end if lower.length is None else min(end, lower.begin + lower.length)
            if first < last:
                start = lower.start + first - lower.begin
                begin = part.begin + first - part.start
                pending.append((lower.height, LinearPart(begin, last - first, start)))
    return (heights[loops.pop()], sorted(found)) if len(loops) == 1 else None
