"""Finds the shortest part of a list that still does what the whole does (Zeller and Hildebrandt's ddmin).

Pure: what is tried and what comes of it is the caller's.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


async def shortest(
    items: Sequence[_Item], still: Callable[[tuple[_Item, ...]], Awaitable[bool]]
) -> tuple[_Item, ...]:
    """Return a part of *items*, in their order, of which *still* is true and of no part one shorter.

    *still* is true of *items* and is asked about parts of it only.
    """
    kept, pieces = tuple(items), 2
    while len(kept) > 1:
        size = -(-len(kept) // pieces)
        for begin in range(0, len(kept), size):
            rest = kept[:begin] + kept[begin + size :]
            if rest and await still(rest):
                kept, pieces = rest, max(pieces - 1, 2)
                break
        else:
            if size == 1:
                return kept
            pieces = min(pieces * 2, len(kept))
    return kept
