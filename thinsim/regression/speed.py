"""`compare_speed` decides whether discards cost more than before, or that nobody can know. Pure.

The cost of a round's discards is their time on a processor, measured in units of the reference work that
ran around them, and the time that they waited for anything but a processor. The time that other programs
kept them waiting for a processor is left out. Costs are compared as logarithms, with a margin that follows
from the differences between the rounds (Hodges and Lehmann, 1963).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations_with_replacement

from thinsim.regression.baseline import DiscardCost

SHORTEST = 0.002
"""Seconds. Shorter discards are not compared, since one interrupt more or less decides their ratio."""
DETECTED = 1.5
"""If the rounds cannot exclude a slow-down of this ratio, the verdict is ``CANT_TELL``."""

_CERTAIN = 3.0
"""Standard errors by which a change must exceed no change at all."""
_CONFIRMED = 5.0
"""Standard errors by which a change needs no more rounds to confirm it."""
_CONFIRMING_ROUNDS = 6
"""Rounds that confirm a smaller change."""
_LIKELY = 1.65
"""Standard errors that the true ratio exceeds once in 20 times."""
_PRIOR_SPREAD = 0.12
_PRIOR_ROUNDS = 3
"""A few rounds can be alike by chance. So the spread counts as if three more had differed by 12 %."""
_NARROW = 0.06
"""The standard error, about 6 %, with which a baseline is good enough."""
_EFFICIENCY = 1.05
"""The standard error of the Hodges-Lehmann estimate, as a multiple of that of a mean."""
_BUSY = 0.25
"""A larger share of the time without a processor is named as the cause of uncertainty."""


class SpeedVerdict(StrEnum):
    """A `SpeedVerdict` is the conclusion of a comparison of discard costs."""

    SAME = "no slower"
    SLOWER = "slower"
    FASTER = "faster"
    CANT_TELL = "can't tell"
    """The rounds differ too much."""
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, slots=True)
class SpeedComparison:
    """A `SpeedComparison` holds the ratio of costs, now to then, and the *reason* for its verdict in words.

    *low* to *high* contains the true ratio in more than 99 of 100 cases. All three are 0 without a
    comparison.
    """

    verdict: SpeedVerdict
    reason: str
    ratio: float = 0.0
    low: float = 0.0
    high: float = 0.0
    decided: bool = True
    """False if more rounds could change the verdict."""
    surprises: bool = False
    """True if a user may not expect that nothing was compared."""


def not_compared(reason: str, *, surprises: bool = False) -> SpeedComparison:
    """Return the comparison of costs that cannot be compared."""
    return SpeedComparison(SpeedVerdict.NOT_COMPARED, reason, surprises=surprises)


def compare_speed(
    now: Sequence[DiscardCost], then: Sequence[DiscardCost], tolerance: float
) -> SpeedComparison:
    """Compare the rounds' costs. *tolerance* is the largest ratio that is no regression, above 1."""
    if not any(cost.processor for cost in (*now, *then)):
        return not_compared("this kernel does not count processor time per thread (/proc/self/schedstat)")
    costs, before = _costs(now, then), _costs(then, now)
    most = max(statistics.median(costs), statistics.median(before))
    if most < SHORTEST:
        return not_compared(f"too short to compare: {most * 1e3:.1f} ms")
    change = _middle(costs) - _middle(before)
    error = _error(costs, before)
    ratio, low, high = (math.exp(change + part * error) for part in (0, -_CERTAIN, _CERTAIN))
    limit = math.log(tolerance)
    amounts = f"{statistics.median(costs) * 1e3:.1f} ms, {statistics.median(before) * 1e3:.1f} ms before"
    text = f"discards cost {ratio:.2f} times as much ({low:.2f} to {high:.2f}): {amounts}"
    clear = abs(change) >= _CERTAIN * error
    if change >= limit and clear:
        sure = len(now) >= _CONFIRMING_ROUNDS or change >= _CONFIRMED * error
        text += f"; more than {tolerance:g}"
        return SpeedComparison(SpeedVerdict.SLOWER, text, ratio, low, high, decided=sure)
    if change <= -limit and clear:
        return SpeedComparison(SpeedVerdict.FASTER, text, ratio, low, high)
    likely_most = change + _LIKELY * error
    if likely_most < limit:
        return SpeedComparison(SpeedVerdict.SAME, text, ratio, low, high)
    if change < limit and likely_most < max(math.log(DETECTED), limit):
        return SpeedComparison(SpeedVerdict.SAME, text, ratio, low, high, decided=False)
    why = f"{text}; the rounds differ too much for a verdict{_busy(now, then)}"
    return SpeedComparison(SpeedVerdict.CANT_TELL, why, ratio, low, high, decided=False)


def is_narrow(rounds: Sequence[DiscardCost]) -> bool:
    """Return whether the rounds agree well enough for a baseline, or whether more rounds are worthwhile."""
    costs = _costs(rounds, rounds)
    return statistics.median(costs) < SHORTEST or _error(costs) <= _NARROW


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


def _costs(rounds: Sequence[DiscardCost], others: Sequence[DiscardCost]) -> list[float]:
    """Return the cost of each round, in seconds, at the median speed of all *rounds* and *others*.

    The disk may answer more slowly than for the others: then the waits count as if it had not.
    """
    whole = [*rounds, *others]
    if not all(cost.reference_processor for cost in whole):
        return [max(_waited(cost) + cost.processor, 1e-9) for cost in rounds]
    unit = math.sqrt(
        statistics.median(cost.reference_processor for cost in rounds)
        * statistics.median(cost.reference_processor for cost in others)
    )
    disk = statistics.median(cost.reference_waited for cost in rounds)
    quicker = min(disk, statistics.median(cost.reference_waited for cost in others))
    excuse = quicker / disk if disk else 1.0
    return [
        max(cost.processor / cost.reference_processor * unit + _waited(cost) * excuse, 1e-9)
        for cost in rounds
    ]


def _waited(cost: DiscardCost) -> float:
    return max(0.0, cost.seconds - cost.processor - cost.delayed)


def _busy(now: Sequence[DiscardCost], then: Sequence[DiscardCost]) -> str:
    shares = [
        sum(cost.delayed for cost in rounds) / (sum(cost.seconds for cost in rounds) or 1)
        for rounds in (now, then)
    ]
    words = [
        f"{when} other programs kept the processors busy for {min(share, 1):.0%} of the discards' time"
        for when, share in zip(("now", "in the baseline"), shares, strict=True)
        if share > _BUSY
    ]
    return "".join(f"; {each}" for each in words)
