"""Records every hole punch, zero range, truncation and injected fault: what the host gave back.

Knows no files.

The last events are kept in a ring; totals are never lost. A subscriber is a position in the same ring: the
ring is its buffer, so that recording an event costs the same however many listen and however slow they
are. One that falls behind by more than the ring is told how many events it missed.
"""

import os
from collections.abc import AsyncGenerator
from itertools import starmap

import trio

from fuse_backing.events import Bucket, Histogram, LedgerEvent, Missed, Totals
from fuse_backing.faults import FaultKind, Operation

DEFAULT_CAPACITY = 65536
"""Events kept, each of 88 bytes."""

OTHER_FILES = "(other files)"
"""The name under which all files are recorded that come when the ledger has as many names as it keeps."""

_OPERATIONS = tuple(Operation)  # as numbered in native/account/account.h
_FAULTS = (None, *FaultKind)
_NANO = 1_000_000_000
_BATCH = 1024


class Ledger:
    """The record of one mount: names and events here, the numbers in C (``native/account/account.h``).

    Raises ExtensionError where the C extension is not built.

    Punches that are served without Python go straight to ``account``. Use it from one thread (``events``
    from any); with subscribers, from trio's, with ``watch`` running. Memory is bounded: the ring, and the
    first 16383 file names, of which the first 1024 with an event have a histogram by offset.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        # Not above: who takes a ledger, as block devices do, is imported by commands that keep none.
        from fuse_backing.extension import native  # noqa: PLC0415

        self.account = native.Account(capacity)
        self.most_names = native.MOST_FILES - 1
        """How many names of files it keeps, OTHER_FILES not counted."""
        self._names: list[str] = []
        self._indices: dict[str, int] = {}
        self._waiting = trio.lowlevel.ParkingLot()

    def index_of(self, file: str) -> int:
        """Return the number under which events of *file* are recorded in the account."""
        index = self._indices.get(file)
        if index is None and len(self._names) >= self.most_names:
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
            found += starmap(self._event, batch)
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

    def _event(
        self,
        sequence: int,
        time: int,
        file: int,
        operation: int,
        mode: int,
        offset: int,
        length: int,
        allocated: int,
        freed: int,
        errno: int,
        took: int,
        fault: int,
    ) -> LedgerEvent:
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
