"""`compare_speed` decides whether discards cost more than before, or that nobody can know. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from thinsim.regression.baseline import DiscardCost
from thinsim.regression.costs import SHORTEST, CostChange, cost_change

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
_BUSY = 0.2
"""A larger share of the time without a processor makes waits doubtful, and is named as the cause."""


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
    whole, work = cost_change(now, then), cost_change(now, then, same_waits=True)
    most = max(whole.seconds, whole.seconds_before)
    if most < SHORTEST:
        return not_compared(f"too short to compare: {most * 1e3:.1f} ms")
    limit = math.log(tolerance)
    # A discard also waits for threads of the kernel, and they wait for a processor on a busy machine.
    whole_limit = max(limit, math.log(DETECTED)) if _busy_share(now) > _BUSY else limit
    for found, least in ((whole, whole_limit), (work, limit)):
        if found.change >= least and _is_clear(found):
            sure = len(now) >= _CONFIRMING_ROUNDS or found.change >= _CONFIRMED * found.error
            return _compared(SpeedVerdict.SLOWER, found, f"; more than {tolerance:g}", decided=sure)
    if whole.change <= -limit and _is_clear(whole):
        return _compared(SpeedVerdict.FASTER, whole)
    likely_most = whole.change + _LIKELY * whole.error
    if likely_most < limit:
        return _compared(SpeedVerdict.SAME, whole)
    if whole.change < limit and likely_most < max(math.log(DETECTED), limit):
        return _compared(SpeedVerdict.SAME, whole, decided=not _more_rounds_help(whole))
    why = f"; the rounds differ too much for a verdict{_busy(now, then)}"
    return _compared(SpeedVerdict.CANT_TELL, whole, why, decided=not _more_rounds_help(whole))


def _is_clear(found: CostChange) -> bool:
    return abs(found.change) >= _CERTAIN * found.error


def _more_rounds_help(found: CostChange) -> bool:
    """Return whether chance has a larger part in the error than doubt, which stays."""
    return found.error**2 > 2 * found.doubt**2


def _compared(
    verdict: SpeedVerdict, found: CostChange, why: str = "", *, decided: bool = True
) -> SpeedComparison:
    ratio, low, high = (math.exp(found.change + part * found.error) for part in (0, -_CERTAIN, _CERTAIN))
    amounts = f"{found.seconds * 1e3:.1f} ms, {found.seconds_before * 1e3:.1f} ms before"
    text = f"discards cost {ratio:.2f} times as much ({low:.2f} to {high:.2f}): {amounts}{why}"
    return SpeedComparison(verdict, text, ratio, low, high, decided)


def _busy_share(rounds: Sequence[DiscardCost]) -> float:
    """Return the share of the discards' time in which other programs had the processor."""
    return sum(cost.delayed for cost in rounds) / (sum(cost.seconds for cost in rounds) or 1)


def _busy(now: Sequence[DiscardCost], then: Sequence[DiscardCost]) -> str:
    shares = [_busy_share(rounds) for rounds in (now, then)]
    words = [
        f"{when} other programs kept the processors busy for {min(share, 1):.0%} of the discards' time"
        for when, share in zip(("now", "in the baseline"), shares, strict=True)
        if share > _BUSY
    ]
    return "".join(f"; {each}" for each in words)
