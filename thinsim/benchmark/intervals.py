"""`median_interval` returns an interval for the median of few figures of any distribution. Pure.

An interval between two figures of a sorted sample holds the true median with a probability that follows from
coin tosses alone: each figure is above the true median or below it (the sign test; David and Nagaraja, Order
Statistics, section 7.1).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """An `Interval`, *low* to *high*, holds the true median with the probability *confidence*, 0 to 1."""

    median: float
    """The median of the figures."""
    low: float
    """The lower end of the interval."""
    high: float
    """The upper end."""
    confidence: float
    """The probability that the interval holds the true median, 0 to 1."""

    def over(self, other: "Interval") -> "Interval | None":
        """Return the ratio of two independent medians, or None if *other* reaches 0.

        The new interval holds its median if both do, so its confidence is the product.
        """
        if other.low <= 0:
            return None
        return Interval(
            self.median / other.median,
            self.low / other.high,
            self.high / other.low,
            self.confidence * other.confidence,
        )


def median_interval(figures: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the narrowest interval of at least *confidence*; with too few figures, their whole range.

    ValueError if there are no figures.
    """
    ordered = sorted(figures)
    count = len(ordered)
    if not count:
        raise ValueError("there are no figures, so there is no median")
    allowed = (cut for cut in range(count // 2) if _outside(count, cut) <= 1 - confidence)
    cut = max(allowed, default=0)
    held = max(0.0, 1 - _outside(count, cut))
    return Interval(statistics.median(ordered), ordered[cut], ordered[count - 1 - cut], held)


def _outside(count: int, cut: int) -> float:
    """Return the probability that the true median is outside, without *cut* figures at each end."""
    return sum(math.comb(count, below) for below in range(cut + 1)) / 2.0 ** (count - 1)
