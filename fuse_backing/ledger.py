"""Every hole punch, zero range, truncation and injected fault: what the host gave back. Knows no files.

The last events are kept in a ring; totals are never lost. A subscriber is a position in the same ring: the
ring is its buffer, so that recording an event costs the same however many listen and however slow they
are. One that falls behind by more than the ring is told how many events it missed.
"""

import os
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import trio

from fuse_backing.faults import FaultKind, Operation

try:
    from fuse_backing._account import MOST_FILES, Account
except ImportError as error:
    raise ImportError(
        f"fuse_backing's C extension is not built ({error}); in a checkout run: pip install -e ."
    ) from error

if TYPE_CHECKING:
    from fuse_backing._account import Event

DEFAULT_CAPACITY = 65536
"""Events kept, each of 88 bytes."""

OTHER_FILES = "(other files)"
"""The name under which all files are recorded that come when the ledger has as many names as it keeps."""

_OPERATIONS = tuple(Operation)  # as numbered in native/account.h
_FAULTS = (None, *FaultKind)
_NANO = 1_000_000_000
_BATCH = 1024


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """A hole punch, zero range or truncation, or another request that a planned fault struck. In bytes."""

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
    """0, or what the caller got."""
    duration: float
    """Seconds the host took."""
    fault: FaultKind | None = None
    """What was injected, if this request was struck by a planned fault."""

    def to_json(self) -> dict[str, object]:
        """Return the event as JSON can carry it."""
        return {name: getattr(self, name) for name in _EVENT_FIELDS}  # asdict would copy deeply

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """Read what ``to_json`` returned; fields that a newer server added are ignored. Raises KeyError."""
        known = {field.name: value[field.name] for field in fields(cls)}
        fault = known.pop("fault")
        return cls(
            **{**known, "operation": Operation(str(known["operation"]))},  # type: ignore[arg-type]
            fault=None if fault is None else FaultKind(str(fault)),
        )


_EVENT_FIELDS = tuple(field.name for field in fields(LedgerEvent))


@dataclass(frozen=True, slots=True)
class Missed:
    """Stands in a subscription where *count* events were overwritten before they were read."""

    count: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over events. Sizes in bytes; of what was refused, only what the host freed before it failed."""

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
    faults: int = 0
    """Events that a planned fault made, or made different."""

    def to_json(self) -> dict[str, object]:
        """Return the totals as JSON can carry them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """Read what ``to_json`` returned. Raises KeyError."""
        return cls(**{field.name: value[field.name] for field in fields(cls)})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Bucket:
    """One stretch of a histogram: how many events began there, and their bytes."""

    events: int
    bytes: int
    freed: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Equal buckets from 0 on; *width* in bytes (by offset) or seconds (by time). It doubles as needed."""

    width: float
    buckets: tuple[Bucket, ...]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what ``dataclasses.asdict`` made of it. Raises KeyError."""
        return cls(float(value["width"]), tuple(Bucket(**bucket) for bucket in value["buckets"]))


class Ledger:
    """The record of one mount: names and events here, the numbers in C (``native/account.h``).

    Punches that are served without Python go straight to ``account``. Use it from one thread (``events``
    from any); with subscribers, from trio's, with ``watch`` running. Memory is bounded: the ring, and the
    first 16383 file names, of which the first 1024 with an event have a histogram by offset.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self.account = Account(capacity)
        self._names: list[str] = []
        self._indices: dict[str, int] = {}
        self._waiting = trio.lowlevel.ParkingLot()

    def index_of(self, file: str) -> int:
        """Return the number under which events of *file* are recorded in the account."""
        index = self._indices.get(file)
        if index is None and len(self._names) >= MOST_FILES - 1:
            file = OTHER_FILES
            index = self._indices.get(file)
        if index is None:
            index = self._indices[file] = self.account.file()
            self._names.append(file)
        return index

    @property
    def totals(self) -> Totals:
        """Sums over all events there ever were."""
        return Totals(*self.account.totals())

    @property
    def totals_by_file(self) -> dict[str, Totals]:
        """The same for each file that has events, by its name at the time of the event."""
        sums = {name: Totals(*self.account.file_totals(index)) for name, index in self._indices.items()}
        return {name: totals for name, totals in sums.items() if totals.events}

    def by_offset(self, file: str) -> Histogram:
        """Return where in *file* successful punches, zero ranges and truncations fell.

        Empty for an unknown file. What an event freed is shared out over the buckets it covers by length;
        sums are exact.
        """
        index = self._indices.get(file)
        if index is None:
            return Histogram(0, ())
        return _histogram(self.account.by_offset(index), 1)

    def by_time(self) -> tuple[float, Histogram]:
        """Return when the ledger began (seconds since the epoch) and the successful events by time since."""
        started, found = self.account.by_time()
        return started / _NANO, _histogram(found, _NANO)

    @property
    def last_sequence(self) -> int:
        """The sequence number of the newest event, 0 if there is none."""
        return self.account.last

    @property
    def first_sequence(self) -> int:
        """The sequence number of the oldest event kept; one more than the last if there is none."""
        return self.account.first

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
        fault: FaultKind | None = None,
    ) -> int:
        """Add an event and wake whoever waits for it; return its sequence number."""
        sequence = self.account.record(
            round(time * _NANO),
            self.index_of(file),
            _OPERATIONS.index(operation),
            mode,
            offset,
            length,
            allocated,
            freed,
            errno,
            round(duration * _NANO),
            _FAULTS.index(fault),
        )
        if self._waiting:
            self._waiting.unpark_all()
        return sequence

    def events(self, since: int = 0, limit: int | None = None) -> list[LedgerEvent]:
        """Return the kept events newer than sequence number *since*, oldest first, at most *limit*."""
        found: list[LedgerEvent] = []
        while limit is None or len(found) < limit:
            wanted = _BATCH if limit is None else min(_BATCH, limit - len(found))
            batch = self.account.events(since + 1, wanted)
            if not batch:
                break
            found += map(self._event, batch)
            since = found[-1].sequence
        return found

    async def watch(self) -> None:
        """Wake subscribers for events that were recorded without Python, for ever."""
        while True:
            await trio.lowlevel.wait_readable(self.account.notify_fd)
            os.eventfd_read(self.account.notify_fd)
            self._waiting.unpark_all()

    async def newer_than(self, sequence: int) -> None:
        """Wait until there is an event newer than *sequence*."""
        self.account.arm()
        while sequence >= self.last_sequence:
            await self._waiting.park()
            self.account.arm()

    async def subscribe(self, since: int | None = None) -> AsyncGenerator[LedgerEvent | Missed, None]:
        """Yield each event newer than *since* (by default: from now on) as it comes, without end.

        Where the ring has overwritten events before this subscriber took them, it yields ``Missed``.
        """
        position = self.last_sequence if since is None else min(since, self.last_sequence)
        while True:
            await self.newer_than(position)
            for event in self.events(position, limit=256):
                if event.sequence > position + 1:
                    yield Missed(event.sequence - position - 1)
                position = event.sequence
                yield event

    def _event(self, found: "Event") -> LedgerEvent:
        sequence, time, file, operation, mode, offset, length, allocated, freed, errno, took, fault = found
        return LedgerEvent(
            sequence,
            time / _NANO,
            self._names[file],
            _OPERATIONS[operation],
            mode,
            offset,
            length,
            allocated,
            freed,
            errno,
            took / _NANO,
            _FAULTS[fault],
        )


def _histogram(found: tuple[int, list[tuple[int, int, int]]], unit: int) -> Histogram:
    width, buckets = found
    return Histogram(width / unit, tuple(Bucket(*bucket) for bucket in buckets))
