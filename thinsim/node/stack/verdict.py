"""`judge` decides at which height a discard died, from the effects that were measured. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from thinsim.node.stack.counting import HeightCount, counted_heights
from thinsim.node.stack.height import StackHeight
from thinsim.node.stack.passing import passages
from thinsim.ranges import Range
from thinsim.units import format_size


@dataclass(frozen=True, slots=True)
class HeightEffect:
    """A `HeightEffect` is the difference that a trial made at one height. Null: the height has no such count.

    The counts of a device include the discards of everything else that uses it.
    """

    height: int
    """The index of the height."""
    requests: int | None
    """Discards that arrived."""
    arrived: int | None
    """The bytes of these discards."""
    at_once: int | None
    """The bytes that arrived before fstrim, because the file system discards at once."""
    freed: int | None
    """Bytes that the pool, or the host for the file, has no longer in use."""


@dataclass(frozen=True, slots=True)
class Death:
    """A `Death` is the height at which no byte of a discard went further."""

    height: int
    """The index of the height."""
    reason: str
    """The reason in words."""


def effects_of(
    full: dict[int, HeightCount], removed: dict[int, HeightCount], trimmed: dict[int, HeightCount]
) -> tuple[HeightEffect, ...]:
    """Return the effects: *full* was counted with the file, *removed* without it, *trimmed* after fstrim."""
    return tuple(
        HeightEffect(
            height=number,
            requests=_more(full[number].requests, trimmed[number].requests),
            arrived=_more(full[number].discarded, trimmed[number].discarded),
            at_once=_more(full[number].discarded, removed[number].discarded),
            freed=_more(trimmed[number].held, full[number].held),
        )
        for number in full
    )


def judge(
    heights: Sequence[StackHeight],
    ranges: Sequence[Range],
    effects: Sequence[HeightEffect],
    refused: str = "",
) -> Death | None:
    """Return where discards of *ranges* died; None if some bytes arrived at the lowest height counted.

    *refused* is the reason if the file system refused fstrim.
    """
    felt = {effect.height for effect in effects if effect.arrived or effect.freed}
    counted = counted_heights(heights)
    lowest = [number for number in counted if not _below(heights, number) & set(counted)]
    if felt & set(lowest):
        return None
    last = max(felt, default=0)
    if last == 0 and refused:
        closed = next((each.height for each in heights[0].below if not heights[each.height].passes), None)
        return Death(0, refused) if closed is None else Death(closed, heights[closed].reason)
    following = min((number for number in counted if number > last), default=last)
    # A file system that let something pass may have discarded the free space around the file as well.
    passing = [replace(heights[0], shortest=0), *heights[1:]] if last else heights
    for passage in passages(passing, ranges):
        if last <= passage.height <= following and passage.reason and not passage.passed:
            return Death(passage.height, passage.reason)
    for number in range(last, following + 1):
        if not heights[number].passes:
            return Death(number, heights[number].reason)
    unit = max(height.unit for height in heights[last : following + 1])
    return Death(
        last, f"the file filled no unit of {format_size(unit)} whole, or others use the units as well"
    )


def _below(heights: Sequence[StackHeight], number: int) -> set[int]:
    """Return the indexes of all heights below *number*."""
    found: set[int] = set()
    for lower in heights[number].below:
        found |= {lower.height} | _below(heights, lower.height)
    return found


def _more(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(after - before, 0)
