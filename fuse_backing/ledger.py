"""`Ledger` records every hole punch, zero range, truncation, release and injected fault.

It knows files only by path. A ring keeps the last events; totals are never lost. A subscriber is a position
in the same ring, so recording an event costs the same however many subscribers there are and however slow
they are. A subscriber that falls behind by more than the ring learns how many events it missed.
"""

import os
from collections.abc import AsyncGenerator
from itertools import starmap

import trio

from fuse_backing.events import Bucket, Histogram, LedgerEvent, Missed, Totals
from fuse_backing.faults import FaultKind, Operation

DEFAULT_CAPACITY = 65536
"""Number of events that the ring keeps; each takes 88 bytes."""

OTHER_FILES = "(other files)"
"""The name under which a ledger that has all its names records further files."""

_OPERATIONS = tuple(Operation)  # in the order of native/account/account.h
_FAULTS = (None, *FaultKind)
_NANO = 1_000_000_000
_BATCH = 1024


class Ledger:
    """A `Ledger` keeps the events and totals of one mount.

    Raises ExtensionError if the C extension is not built.

    Names and numbers are kept in C (``account``, ``native/account/account.h``). Punches that are served
    without Python go straight to ``account``. Use a ledger from one thread; only ``events`` may be called
    from any thread. With subscribers that thread must be trio's, and ``watch`` must run. Memory is bounded:
    the ring, and the first 16383 paths, of which the first 1024 with an event have a histogram by
    offset.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        # Imported here: commands without a ledger also import this module, and must run without the
        # extension.
        from fuse_backing.extension import native  # noqa: PLC0415

        self.account = native.Account(capacity)
        self.most_names = native.MOST_FILES - 1
        """Number of paths that the ledger keeps, without OTHER_FILES."""
        self._waiting = trio.lowlevel.ParkingLot()

    def index_of(self, file: str) -> int:
        """Return the number under which events of *file* are recorded in the account."""
        return self.account.index(os.fsencode(file))

    def begin_use(self, file: str) -> int:
        """Return the number of *file*, which stays the file's until ``end_use``."""
        return self.account.begin_use(os.fsencode(file))

    def end_use(self, index: int) -> None:
        """Undo one ``begin_use``. The number of a file without events is then free for another file."""
        self.account.end_use(index)

    @property
    def totals(self) -> Totals:
        """Return the sums over all events since the ledger was made."""
        return Totals(*self.account.totals())

    @property
    def totals_by_file(self) -> dict[str, Totals]:
        """Return the sums for each file that has events, by its path at the time of the event."""
        found = {}
        for index in range(self.account.nr_files):
            totals = Totals(*self.account.file_totals(index))
            name = self.account.name(index) if totals.events else None
            if name is not None:
                found[name] = totals
        return found

    def by_offset(self, file: str) -> Histogram:
        """Return the histogram of successful punches, zero ranges and truncations by offset in *file*.

        It is empty for an unknown file. The bytes that an event freed are spread over the buckets it covers,
        in proportion to length; their sum is exact.
        """
        try:
            index = self.account.find(os.fsencode(file))
        except UnicodeEncodeError:  # the name of no file
            index = None
        if index is None:
            return Histogram(0, ())
        return _histogram(self.account.by_offset(index), 1)

    def by_time(self) -> tuple[float, Histogram]:
        """Return the ledger's start (seconds since the epoch) and the successful events by time since."""
        started, found = self.account.by_time()
        return started / _NANO, _histogram(found, _NANO)

    @property
    def last_sequence(self) -> int:
        """Return the sequence number of the newest event, 0 if there is none."""
        return self.account.last

    @property
    def first_sequence(self) -> int:
        """Return the sequence number of the oldest event kept; 1 if there is none yet."""
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
        """Add an event and wake the subscribers; return its sequence number."""
        index = self.begin_use(file)
        sequence = self.account.record(
            round(time * _NANO),
            index,
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
        self.end_use(index)
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
        """Wake subscribers for events that were recorded without Python, until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self.account.notify_fd)
            os.eventfd_read(self.account.notify_fd)
            self._waiting.unpark_all()

    async def newer_than(self, sequence: int) -> None:
        """Wait for an event newer than *sequence*."""
        self.account.arm()
        while sequence >= self.last_sequence:
            await self._waiting.park()
            self.account.arm()

    async def subscribe(self, since: int | None = None) -> AsyncGenerator[LedgerEvent | Missed, None]:
        """Yield each event newer than *since* (by default: from now on) as it is recorded, without end.

        Yield ``Missed`` in place of events that the ring has overwritten before this subscriber took them.
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
            self.account.name(file) or OTHER_FILES,
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
