"""A `DataPlace` is the part of a file that holds a pool's data, such as a logical volume. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fuse_backing.events import LedgerEvent
from thinsim.ranges import Range


@dataclass(frozen=True, slots=True)
class DataPlace:
    """A `DataPlace` is *length* bytes of a file from byte *start*, which is the pool's own offset 0."""

    start: int
    length: int

    def within(self, ranges: Iterable[Range]) -> list[Range]:
        """Return the parts of *ranges* of the file that lie in this place, in the pool's own offsets."""
        cut = ((max(begin - self.start, 0), min(end - self.start, self.length)) for begin, end in ranges)
        return [(begin, end) for begin, end in cut if begin < end]

    def events(self, events: Iterable[LedgerEvent]) -> Sequence[LedgerEvent]:
        """Return the events that begin in this place, in the pool's own offsets."""
        return [
            replace(event, offset=event.offset - self.start)
            for event in events
            if 0 <= event.offset - self.start < self.length
        ]
