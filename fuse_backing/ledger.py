"""Every hole punch and zero range: what was asked, what the host gave back. No I/O.

The last events are kept in a ring; totals are never lost. A subscriber is a position in the same ring: the
ring is its buffer, so that recording an event costs the same however many listen and however slow they
are. One that falls behind by more than the ring is told how many events it missed.
"""

from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, fields
from typing import Literal, Self

import trio

Operation = Literal["punch", "zero"]

DEFAULT_CAPACITY = 65536


@dataclass(frozen=True, slots=True)
class PunchEvent:
    """One hole punch or zero range. Sizes in bytes."""

    sequence: int
    """Counts from 1 without gaps."""
    time: float
    """When it was done: seconds since the epoch."""
    file: str
    """The file's name at that time; bytes that are not UTF-8 as surrogates (``os.fsdecode``)."""
    operation: Operation
    mode: int
    """As given to fallocate(2)."""
    offset: int
    length: int
    allocated: int
    """Allocated in the range before."""
    freed: int
    """Given back to the host."""
    errno: int
    """0, or why the host refused."""
    duration: float
    """Seconds the host took."""

    def to_json(self) -> dict[str, object]:
        """Return the event as JSON can carry it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """Read what ``to_json`` returned; fields that a newer server added are ignored. Raises KeyError."""
        return cls(**{field.name: value[field.name] for field in fields(cls)})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Missed:
    """Stands in a subscription where *count* events were overwritten before they were read."""

    count: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over events. Sizes in bytes; of what the host refused, only what it freed before it failed."""

    events: int = 0
    punched_bytes: int = 0
    """The lengths of successful hole punches."""
    zeroed_bytes: int = 0
    """The lengths of successful zero ranges."""
    allocated: int = 0
    """Of these lengths, what was allocated before."""
    freed: int = 0
    """Given back to the host."""
    errors: int = 0

    def plus(self, event: PunchEvent) -> "Totals":
        """Return the totals with one more event."""
        done = event.errno == 0
        return Totals(
            events=self.events + 1,
            punched_bytes=self.punched_bytes + (event.length if done and event.operation == "punch" else 0),
            zeroed_bytes=self.zeroed_bytes + (event.length if done and event.operation == "zero" else 0),
            allocated=self.allocated + (event.allocated if done else 0),
            freed=self.freed + event.freed,
            errors=self.errors + (not done),
        )

    def to_json(self) -> dict[str, object]:
        """Return the totals as JSON can carry them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """Read what ``to_json`` returned. Raises KeyError."""
        return cls(**{field.name: value[field.name] for field in fields(cls)})  # type: ignore[arg-type]


class Ledger:
    """The record of one mount. Use it from one thread; with subscribers, from trio's."""

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            raise ValueError(f"a ledger keeps at least one event, not {capacity}")
        self._ring: list[PunchEvent | None] = [None] * capacity
        self._totals = Totals()
        self._by_file: dict[str, Totals] = {}
        self._waiting = trio.lowlevel.ParkingLot()

    @property
    def totals(self) -> Totals:
        """Sums over all events there ever were."""
        return self._totals

    @property
    def totals_by_file(self) -> dict[str, Totals]:
        """The same for each file, by its name at the time of the event (a copy)."""
        return dict(self._by_file)

    @property
    def last_sequence(self) -> int:
        """The sequence number of the newest event, 0 if there is none."""
        return self._totals.events

    @property
    def first_sequence(self) -> int:
        """The sequence number of the oldest event kept; one more than the last if there is none."""
        return max(1, self.last_sequence - len(self._ring) + 1)

    def record(
        self,
        *,
        time: float,
        file: str,
        operation: Operation,
        mode: int,
        offset: int,
        length: int,
        allocated: int,
        freed: int,
        errno: int,
        duration: float,
    ) -> PunchEvent:
        """Add an event and wake whoever waits for it; return it with its sequence number."""
        event = PunchEvent(
            self.last_sequence + 1,
            time,
            file,
            operation,
            mode,
            offset,
            length,
            allocated,
            freed,
            errno,
            duration,
        )
        self._ring[event.sequence % len(self._ring)] = event
        self._totals = self._totals.plus(event)
        self._by_file[file] = self._by_file.get(file, Totals()).plus(event)
        if self._waiting:
            self._waiting.unpark_all()
        return event

    def events(self, since: int = 0, limit: int | None = None) -> list[PunchEvent]:
        """Return the kept events newer than sequence number *since*, oldest first, at most *limit*."""
        first = max(since + 1, self.first_sequence)
        last = self.last_sequence if limit is None else min(self.last_sequence, first + limit - 1)
        ring = self._ring
        found = (ring[sequence % len(ring)] for sequence in range(first, last + 1))
        return [event for event in found if event is not None]

    async def subscribe(self, since: int | None = None) -> AsyncGenerator[PunchEvent | Missed, None]:
        """Yield each event newer than *since* (by default: from now on) as it comes, without end.

        Where the ring has overwritten events before this subscriber took them, it yields ``Missed``.
        """
        position = self.last_sequence if since is None else min(since, self.last_sequence)
        while True:
            while position >= self.last_sequence:
                await self._waiting.park()
            if position + 1 < self.first_sequence:
                yield Missed(self.first_sequence - position - 1)
                position = self.first_sequence - 1
            for event in self.events(position, limit=256):
                if event.sequence < self.first_sequence:
                    break  # overwritten while the subscriber was busy with the one before
                position = event.sequence
                yield event
