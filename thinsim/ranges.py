"""A `Range` is a half-open range of bytes; these functions take sorted, disjoint ranges. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

Range = tuple[int, int]
"""The first byte of the range, and the byte after its last."""


def total(ranges: Iterable[Range]) -> int:
    """Return the number of bytes in *ranges*."""
    return sum(end - start for start, end in ranges)


def subtract(minuend: Sequence[Range], subtrahend: Sequence[Range]) -> list[Range]:
    """Return the parts of *minuend* that are not in *subtrahend*."""
    left: list[Range] = []
    index = 0
    for start, end in minuend:
        while index < len(subtrahend) and subtrahend[index][1] <= start:
            index += 1
        position, look = start, index
        while look < len(subtrahend) and subtrahend[look][0] < end:
            cut_start, cut_end = subtrahend[look]
            if cut_start > position:
                left.append((position, cut_start))
            position = max(position, cut_end)
            look += 1
        if position < end:
            left.append((position, end))
    return left


def overlap(ranges: Sequence[Range], window: Range) -> list[Range]:
    """Return the parts of *ranges* that are in *window*, found by bisection."""
    found = []
    for index in range(bisect_right(ranges, window[0], key=lambda each: each[1]), len(ranges)):
        start, end = ranges[index]
        if start >= window[1]:
            break
        found.append((max(start, window[0]), min(end, window[1])))
    return found


def bytes_per_block(ranges: Iterable[Range], block_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield each block that *ranges* touch, in ascending order, with the number of its bytes in them."""
    current, count = -1, 0
    for start, end in ranges:
        position = start
        while position < end:
            block = position // block_bytes
            stop = min(end, (block + 1) * block_bytes)
            if block != current:
                if count:
                    yield current, count
                current, count = block, 0
            count += stop - position
            position = stop
    if count:
        yield current, count
