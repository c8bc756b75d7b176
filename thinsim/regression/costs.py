"""`cost_change` compares the costs of discards in two groups of rounds, with a margin for chance. Pure.

The cost of a round's discards is their time on a processor, measured in units of the reference work that
ran around them, and the time that they waited for anything but a processor. The time that other programs
kept them waiting for a processor is left out. Costs are compared as logarithms, with a margin that follows
from the differences between the rounds (Hodges and Lehmann, 1963).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

from thinsim.regression.baseline import DiscardCost

SHORTEST = 0.002
"""Seconds. Shorter discards are not compared, since one interrupt more or less decides their ratio."""

_PRIOR_SPREAD = 0.12
_PRIOR_ROUNDS = 3
"""A few rounds can be alike by chance. So the spread counts as if three more had differed by 12 %."""
_NARROW = 0.06
"""The standard error, about 6 %, with which a baseline is good enough."""
_EFFICIENCY = 1.05
"""The standard error of the Hodges-Lehmann estimate, as a multiple of that of a mean."""
_BUSY_FLUSH = 2.5
_RISE = 3.0
"""The excuse is whole from a ratio of 3.25 on."""
_DOUBT = 0.35
"""The part of excused waits by which a cost may be wrong."""
_LEAST = 1e-9


@dataclass(frozen=True, slots=True)
class CostChange:
    """A `CostChange` is the logarithm of the ratio of two costs, with its standard error."""

    change: float
    error: float
    doubt: float
    """The part of the error that more rounds do not make smaller."""
    seconds: float
    """The median cost now, in seconds."""
    seconds_before: float
    """The median cost before, in seconds."""


def cost_change(
    now: Sequence[DiscardCost], then: Sequence[DiscardCost], *, same_waits: bool = False
) -> CostChange:
    """Return the change of the cost. With *same_waits*, only the processor time differs between the groups.

    A busy machine makes waits longer, and nobody can know by how much. Processor time has no such doubt.
    """
    if same_waits:
        waits = min(_middle_wait(now), _middle_wait(then))
        costs, before = (
            [max(work + waits, _LEAST) for work in _work(rounds, others)]
            for rounds, others in ((now, then), (then, now))
        )
        return _change(costs, before, 0.0, 0.0)
    excused, excused_before = _excuse(now, then), _excuse(then, now)
    costs = _with_waits(now, then, excused)
    before = _with_waits(then, now, excused_before)
    return _change(costs, before, excused, excused_before)


def is_narrow(rounds: Sequence[DiscardCost]) -> bool:
    """Return whether the rounds agree well enough for a baseline, or whether more rounds are worthwhile."""
    costs = _with_waits(rounds, rounds, 0.0)
    return statistics.median(costs) < SHORTEST or _error(costs) <= _NARROW


def _change(
    costs: Sequence[float], before: Sequence[float], excused: float, excused_before: float
) -> CostChange:
    seconds, seconds_before = statistics.median(costs), statistics.median(before)
    doubt = _DOUBT * max(excused / seconds, excused_before / seconds_before)
    error = math.hypot(_error(costs, before), doubt)
    return CostChange(_middle(costs) - _middle(before), error, doubt, seconds, seconds_before)


def _work(rounds: Sequence[DiscardCost], others: Sequence[DiscardCost]) -> list[float]:
    """Return the processor time of each round, in seconds at the median speed of both groups."""
    if not all(cost.reference_processor for cost in (*rounds, *others)):
        return [cost.processor for cost in rounds]
    unit = math.sqrt(
        statistics.median(cost.reference_processor for cost in rounds)
        * statistics.median(cost.reference_processor for cost in others)
    )
    return [cost.processor / cost.reference_processor * unit for cost in rounds]


def _with_waits(rounds: Sequence[DiscardCost], others: Sequence[DiscardCost], excuse: float) -> list[float]:
    """Return the cost of each round: its work, and its waits less *excuse* seconds beyond the usual."""
    usual = _middle_wait(others)
    return [
        max(work + min(_waited(cost), max(_waited(cost) - excuse, usual)), _LEAST)
        for work, cost in zip(_work(rounds, others), rounds, strict=True)
    ]


def _excuse(rounds: Sequence[DiscardCost], others: Sequence[DiscardCost]) -> float:
    """Return the seconds of waits of *rounds* for which the machine is to blame.

    A busy processor alone makes the flush of the reference work up to ``_BUSY_FLUSH`` times as long, since a
    thread of the kernel completes it; the waits of discards hardly change. If a flush takes even longer, the
    disk is busy, and each wait of a discard takes that much longer as well.
    """
    flush, usual = (statistics.median(cost.reference_waited for cost in group) for group in (rounds, others))
    if not usual or flush <= _BUSY_FLUSH * usual:
        return 0.0
    slower = flush / usual
    return _middle_wait(others) * min(slower - 1, _RISE * (slower - _BUSY_FLUSH))


def _middle_wait(rounds: Sequence[DiscardCost]) -> float:
    return statistics.median(map(_waited, rounds))


def _middle(costs: Sequence[float]) -> float:
    """Return the Hodges-Lehmann estimate of the logarithms' middle: the median of the means of all pairs.

    It is as robust as a median where single rounds were disturbed, and nearly as precise as a mean.
    """
    logarithms = [math.log(cost) for cost in costs]
    return statistics.median((one + other) / 2 for one, other in combinations_with_replacement(logarithms, 2))


def _error(*sides: Sequence[float]) -> float:
    """Return the standard error of the difference of the *sides*' middles, from the spread of all rounds."""
    squares, degrees = _PRIOR_ROUNDS * _PRIOR_SPREAD**2, _PRIOR_ROUNDS
    for costs in sides:
        logarithms = [math.log(cost) for cost in costs]
        mean = statistics.fmean(logarithms)
        squares += sum((each - mean) ** 2 for each in logarithms)
        degrees += len(costs) - 1
    return _EFFICIENCY * math.sqrt(squares / degrees * sum(1 / len(costs) for costs in sides))


def _waited(cost: DiscardCost) -> float:
    return max(0.0, cost.seconds - cost.processor - cost.delayed)
