"""Says where a pool's data lies in a file that holds more: a logical volume on a file. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fuse_backing.events import LedgerEvent
from thinsim.ranges import Range


@dataclass(frozen=True, slots=True)
class DataPlace:
    """*length* bytes from byte *start* of the file on; seen from here the pool's data begins at 0."""

    start: int
    length: int

    def within(self, ranges: Iterable[Range]) -> list[Range]:
        """Return what of the file's *ranges* lies here, in the pool's own offsets."""
        cut = ((max(begin - self.start, 0), min(end - self.start, self.length)) for begin, end in ranges)
        return [(begin, end) for begin, end in cut if begin < end]

    def events(self, events: Iterable[LedgerEvent]) -> Sequence[LedgerEvent]:
        """Return the events that begin here, in the pool's own offsets."""
        return [
            replace(event, offset=event.offset - self.start)
            for event in events
            if 0 <= event.offset - self.start < self.length
        ]
