"""`GOALS` lists the ratios that the data plane of thin devices is built for, as the design of it states."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.thin_contenders import (
    BARE,
    BARE_ON_STORE,
    NO_FILE,
    NO_FILE_OVER_URING,
    NO_STORE,
    OVER_URING,
    PLAIN,
    QCOW2,
    THIN,
)
from benchmarks.thin_rows import (
    DISCARD,
    FSYNC,
    PROVISION,
    RANDOM_READ,
    RANDOM_READ_ALONE,
    RANDOM_WRITE,
    READ,
    READ_LIMIT,
    REWRITE,
)
from thinsim.benchmark.intervals import Interval, median_interval
from thinsim.benchmark.rounds import FigureRow


@dataclass(frozen=True, slots=True)
class RatioGoal:
    """A `RatioGoal` asks that *contender* reaches *least* times the figure of *reference* in a row."""

    row: FigureRow
    contender: str
    reference: str
    least: float


def _both(row: FigureRow, of_plain: float, of_qcow2: float | None = None) -> Iterator[RatioGoal]:
    yield RatioGoal(row, THIN, PLAIN, of_plain)
    if of_qcow2 is not None:
        yield RatioGoal(row, THIN, QCOW2, of_qcow2)


GOALS: Sequence[RatioGoal] = (
    *_both(RANDOM_WRITE, 0.75, 5),
    *_both(RANDOM_READ, 0.75, 5),
    *_both(RANDOM_READ_ALONE, 0.9),
    *_both(FSYNC, 0.8, 1),
    *_both(REWRITE, 0.7, 2),
    *_both(READ, 0.7, 2),
    *_both(PROVISION, 0.45, 2),
    *_both(DISCARD, 0.8, 1),
    RatioGoal(RANDOM_WRITE, NO_FILE, PLAIN, 0.5),
    RatioGoal(RANDOM_READ, NO_FILE, PLAIN, 0.5),
)


_OVER_URING = {THIN: OVER_URING, NO_FILE: NO_FILE_OVER_URING}
"""The same devices with FUSE over io_uring, which is off by default."""


_RowFigures = Mapping[tuple[str, str], Sequence[float | None]]
"""The figures of all turns, by row and contender."""


@dataclass(frozen=True, slots=True)
class GoalResult:
    """A `GoalResult` has the ratio that was measured for a goal; None: one of the two was not measured."""

    goal: RatioGoal
    ratio: Interval | None
    over_uring: Interval | None
    """The ratio with FUSE over io_uring."""
    bare: Interval | None
    """The ratio of the bare server: no server that reads /dev/fuse reaches more."""
    no_store: Interval | None = None
    """The ratio of a thin device whose data are not on the backing store."""
    bare_on_store: Interval | None = None
    """The ratio of the bare server on the backing store: no thin device on the store reaches more."""
    without_server: Interval | None = None
    """The ratio that remains if the contender's server took no processor time; of random reads alone."""

    @property
    def missed(self) -> bool:
        """Return whether the median is below the goal."""
        return self.ratio is not None and self.ratio.median < self.goal.least

    @property
    def reached_over_uring(self) -> bool:
        """Return whether the median with FUSE over io_uring reaches the goal."""
        return self.over_uring is not None and self.over_uring.median >= self.goal.least

    @property
    def limit(self) -> Interval | None:
        """Return the least ratio that no server can exceed: of a bare server, or without any server's time.

        A device on the store has the bare server there as well.
        """
        on_store = self.bare_on_store if self.goal.contender == THIN else None
        known = [each for each in (self.bare, on_store, self.without_server) if each is not None]
        return min(known, key=lambda each: each.median, default=None)

    @property
    def out_of_reach(self) -> bool:
        """Return whether the goal is missed, and a bare server misses it as well."""
        return self.missed and self.limit is not None and self.limit.median < self.goal.least

    @property
    def verdict(self) -> str:
        """Return ``yes``, ``no``, or ``yes?`` and ``no?`` if the interval reaches to the other side."""
        return self._verdict(self.ratio)

    @property
    def verdict_over_uring(self) -> str:
        """Return the same with FUSE over io_uring."""
        return self._verdict(self.over_uring)

    def _verdict(self, ratio: Interval | None) -> str:
        if ratio is None:
            return "-"
        least = self.goal.least
        unsure = "?" if ratio.low < least <= ratio.high else ""
        return f"{'no' if ratio.median < least else 'yes'}{unsure}"


def results(measured: Sequence[Mapping[str, Any]]) -> Sequence[GoalResult]:
    """Return each goal's result from the part ``measured`` of a document of the benchmark."""
    turns = {(each["row"], each["contender"]): each["rounds"] for each in measured}
    return [
        GoalResult(
            goal,
            _ratio(goal, goal.contender, turns),
            _ratio(goal, _OVER_URING[goal.contender], turns),
            _ratio(goal, BARE, turns),
            _ratio(goal, NO_STORE, turns) if goal.contender == THIN else None,
            _ratio(goal, BARE_ON_STORE, turns),
            _without_server(goal, turns),
        )
        for goal in GOALS
    ]


def _ratio(
    goal: RatioGoal, contender: str, turns: _RowFigures, row: FigureRow | None = None
) -> Interval | None:
    name = (row or goal.row).name
    mine, its = turns.get((name, contender), []), turns.get((name, goal.reference), [])
    ratios = [one / other for one, other in zip(mine, its, strict=False) if one is not None and other]
    return median_interval(ratios) if ratios else None


def _without_server(goal: RatioGoal, turns: _RowFigures) -> Interval | None:
    """Return the ratio of random reads; writes depend more on when the host writes back their pages."""
    if goal.row is not RANDOM_READ or goal.reference != PLAIN:
        return None
    return _ratio(goal, goal.contender, turns, READ_LIMIT)
