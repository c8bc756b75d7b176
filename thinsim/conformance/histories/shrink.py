"""`shortest` finds a shortest part of a list that still has a property of the whole.

The algorithm is ddmin by Zeller and Hildebrandt. Pure: the caller tries each part.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


async def shortest(
    items: Sequence[_Item], still: Callable[[tuple[_Item, ...]], Awaitable[bool]]
) -> tuple[_Item, ...]:
    """Return a part of *items*, in order, with *still* true for it and false for every part one item shorter.

    *still* must be true for *items*; it is called only with proper parts of *items*.
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
