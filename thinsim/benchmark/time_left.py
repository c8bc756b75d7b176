"""`TimeLeft` estimates the rest of a benchmark from the runs that are done. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

PlannedRun = tuple[str, str]
"""A contender and sizes, as text. Runs of the same name take about the same time."""


@dataclass(slots=True)
class TimeLeft:
    """A `TimeLeft` knows the planned runs, in their order, and the seconds of those that are done."""

    planned: Sequence[PlannedRun]
    _taken: dict[PlannedRun, list[float]] = field(default_factory=dict)
    _done: int = 0

    def add(self, seconds: float) -> None:
        """Add the time of the run that has just ended."""
        self._taken.setdefault(self.planned[self._done], []).append(seconds)
        self._done += 1

    @property
    def runs(self) -> int:
        """Return the number of runs that are left."""
        return len(self.planned) - self._done

    @property
    def seconds(self) -> float | None:
        """Return the estimated seconds that are left, or None before each kind of run has ended once."""
        rest = self.planned[self._done :]
        if not self._taken.keys() >= set(rest):
            return None
        medians = {run: statistics.median(taken) for run, taken in self._taken.items()}
        return sum(medians[run] for run in rest)

    @property
    def text(self) -> str:
        """Return the time that is left in words, or an empty text if it is not known."""
        seconds = self.seconds
        return "" if seconds is None or not self.runs else f"{duration(seconds)} left"

    @property
    def forecast(self) -> str:
        """Return the whole estimate in words: the number of runs, the time of each, and the sum."""
        seconds = self.seconds
        if seconds is None or not self.runs:
            return ""
        plural = "s of about {0} each" if self.runs > 1 else " of about {0}"
        return f"{self.runs} run{plural.format(duration(seconds / self.runs))}: {self.text}"


def duration(seconds: float) -> str:
    """Return a time for people: ``0.4 s``, ``9 s``, ``1 min 50 s``, ``2 h 5 min``."""
    if seconds < 1:
        return f"{max(seconds, 0.1):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
