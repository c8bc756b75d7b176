"""`compare_speed` tells whether discards cost more than before, or that the rounds can't tell. Pure.

The cost of a round's discards is their time on a processor, measured in units of the reference work that
ran around them, and the time that they waited for anything but a processor. The time that other programs
kept them waiting for a processor is left out. Costs are compared as logarithms: medians, with a margin that
follows from the differences between the rounds.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from thinsim.regression.baseline import DiscardCost

SHORTEST = 0.002
"""Seconds. Shorter discards are not compared, since one interrupt more or less decides their ratio."""
DETECTED = 1.5
"""If the rounds cannot exclude a slow-down of this ratio, the verdict is that they can't tell."""

_CERTAIN = 2.6
"""Standard errors by which a change must exceed no change at all: 1 in 200 for chance alone."""
_LIKELY = 1.65
"""Standard errors that the true ratio exceeds once in 20 times."""
_PRIOR_SPREAD = 0.1
_PRIOR_ROUNDS = 2
"""A few rounds can be alike by chance. So the spread counts as if two more rounds had differed by 10 %."""
_NARROW = 0.07
"""The standard error, about 7 %, with which a baseline is good enough."""
_MEDIAN = math.sqrt(math.pi / 2)
"""The standard error of a median, as a multiple of that of a mean."""
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

    *low* to *high* contains the true ratio in 99 of 100 cases. Without a comparison, all three are 0.
    """

    verdict: SpeedVerdict
    reason: str
    ratio: float = 0.0
    low: float = 0.0
    high: float = 0.0
    decided: bool = True
    """False if more rounds could change the verdict."""


def not_compared(reason: str) -> SpeedComparison:
    """Return the comparison of costs that cannot be compared."""
    return SpeedComparison(SpeedVerdict.NOT_COMPARED, reason)


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
    change = statistics.median(map(math.log, costs)) - statistics.median(map(math.log, before))
    error = math.hypot(spread_error(costs), spread_error(before))
    ratio, low, high = (math.exp(change + part * error) for part in (0, -_CERTAIN, _CERTAIN))
    limit = math.log(tolerance)
    amounts = f"{statistics.median(costs) * 1e3:.1f} ms, {statistics.median(before) * 1e3:.1f} ms before"
    text = f"discards cost {ratio:.2f} times as much ({low:.2f} to {high:.2f}): {amounts}"
    clear = abs(change) >= _CERTAIN * error
    if change >= limit and clear:
        return SpeedComparison(SpeedVerdict.SLOWER, f"{text}; more than {tolerance:g}", ratio, low, high)
    if change <= -limit and clear:
        return SpeedComparison(SpeedVerdict.FASTER, text, ratio, low, high)
    likely_most = change + _LIKELY * error
    if likely_most < limit:
        return SpeedComparison(SpeedVerdict.SAME, text, ratio, low, high)
    if change < limit and likely_most < max(math.log(DETECTED), limit):
        return SpeedComparison(SpeedVerdict.SAME, text, ratio, low, high, decided=False)
    why = f"{text}; the rounds differ too much for a verdict{_busy(now, then)}"
    return SpeedComparison(SpeedVerdict.CANT_TELL, why, ratio, low, high, decided=False)


def spread_error(costs: Sequence[float]) -> float:
    """Return the standard error of the median of *costs*, as a logarithm, from their own spread."""
    logarithms = [math.log(cost) for cost in costs]
    middle = statistics.fmean(logarithms)
    squares = sum((each - middle) ** 2 for each in logarithms) + _PRIOR_ROUNDS * _PRIOR_SPREAD**2
    spread = math.sqrt(squares / (len(costs) - 1 + _PRIOR_ROUNDS))
    return (_MEDIAN if len(costs) > 2 else 1) * spread / math.sqrt(len(costs))


def is_narrow(rounds: Sequence[DiscardCost]) -> bool:
    """Return whether the rounds agree well enough for a baseline, or whether more rounds are worthwhile."""
    costs = _costs(rounds, rounds)
    return statistics.median(costs) < SHORTEST or spread_error(costs) <= _NARROW


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
