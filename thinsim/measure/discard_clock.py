"""A `DiscardClock` times discards, and separates their own time from the time of other programs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from thinsim.measure.reference_work import NO_REFERENCE, ReferenceTimes, ReferenceWork
from thinsim.measure.scheduler_times import scheduler_times

_REFERENCE_SECONDS = 0.03
"""Seconds of reference work before each discard."""
_MOST_REFERENCE_SECONDS = 2.0
"""Seconds of reference work around all discards of a run, after which no more follows."""


@dataclass(frozen=True, slots=True)
class DiscardTimes:
    """`DiscardTimes` sum up the discards of a run, in seconds."""

    discards: int = 0
    """Number of devices that were discarded."""
    seconds: float = 0.0
    """Time of the discards, from the first request to the last answer."""
    processor: float = 0.0
    """Of it, the time that thinsim's processes spent on a processor."""
    delayed: float = 0.0
    """Of it, the time that they could run and waited for a processor, because other programs had it."""
    reference: ReferenceTimes = NO_REFERENCE
    """The reference work around the discards; no units if it was not asked for."""


class DiscardClock:
    """A `DiscardClock` adds up the times of discards. *reference*, if there is one, runs around each."""

    def __init__(self, reference: ReferenceWork | None = None) -> None:
        self.times = DiscardTimes()
        self._reference = reference
        self._spent = 0.0

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Add the time of the context to the times."""
        beside = self._work(_REFERENCE_SECONDS)
        before, begun = scheduler_times(), time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - begun
            after = scheduler_times()
            processor = delayed = 0.0
            if before is not None and after is not None:
                spent = after.since(before)
                processor, delayed = spent.processor, spent.delayed
            self.times = DiscardTimes(
                self.times.discards + 1,
                self.times.seconds + seconds,
                self.times.processor + processor,
                self.times.delayed + delayed,
                self.times.reference + beside + self._work(seconds),
            )

    def _work(self, seconds: float) -> ReferenceTimes:
        # The work blocks the event loop on purpose: nothing of thinsim runs beside it.
        if self._reference is None or self._spent > _MOST_REFERENCE_SECONDS:
            return NO_REFERENCE
        begun = time.perf_counter()
        done = self._reference.run(min(seconds, _MOST_REFERENCE_SECONDS))
        self._spent += time.perf_counter() - begun
        return done
