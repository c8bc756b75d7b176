"""A `Verdict` is the conclusion about a ratio that its rounds allow; `Compared` has both. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from thinsim.benchmark.document import Benchmark, Series
from thinsim.benchmark.intervals import Interval, median_interval
from thinsim.benchmark.significance import CHANCE


class Verdict(StrEnum):
    """A `Verdict` is the conclusion that the rounds allow."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "no difference seen"
    """The ratio differs from 1 by at most the least effect."""
    TOO_FEW = "too few rounds to tell"  # words: quoted
    """The ratio differs more, but so few rounds, compared in so many rows, can differ so much by chance."""
    ONE_SIDED = "only one has it"
    FROM_NOTHING = "from 0, no ratio"
    BUSY = "machine too busy"
    """The ratio differs, but other programs kept the processors busy, or disturbed only one document."""
    OTHER_MACHINE = "another machine"
    """The ratio differs, but so does the processor."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A `Compared` puts two series side by side.

    *ratio* is the ratio of the second to the first; None if one has no figures.
    """

    row: str
    """The name of the measurement."""
    unit: str
    """The unit of the figures."""
    contender: str
    """``RIG/SUBJECT/SETTING``, or the name of a command."""
    sizes: str
    """The sizes of image, container and pool, as text."""
    first: Interval | None
    """The median and interval of the first; null without figures."""
    second: Interval | None
    """The median and interval of the second; null without figures."""
    ratio: Interval | None
    """The ratio of the second to the first; null without one."""
    verdict: Verdict
    """The conclusion that the rounds allow."""
    chance: float | None = None
    """The chance, 0 to 1, that the ratio differs so much from 1 although the true change is at most the least
    effect, corrected for the number of rows. Null if it was not tested: without a ratio, or with itself."""


def of_rounds(reference: Series, series: Series) -> Interval | None:
    """Return the ratio of two contenders of one document, that of the same rounds; None if it has a zero."""
    mine, its = series.known, reference.known
    if len(mine) != len(its) or not mine or 0 in its:
        return None
    return median_interval([figure / other for figure, other in zip(mine, its, strict=True)])


def logarithms_of(first: Sequence[float], second: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the logarithms of both. A figure of 0 counts as half of the least other figure."""
    least = min((each for each in (*first, *second) if each > 0), default=1.0) / 2
    return [math.log(each or least) for each in first], [math.log(each or least) for each in second]


def put_side_by_side(first: Series, second: Series, ratio: Interval | None) -> Compared:
    """Return two series side by side, without a verdict."""
    return Compared(
        row=second.row,
        unit=second.unit,
        contender=second.contender,
        sizes=second.sizes,
        first=_interval(first.known),
        second=_interval(second.known),
        ratio=ratio,
        verdict=Verdict.SAME,
    )


def _interval(figures: Sequence[float]) -> Interval | None:
    return median_interval(figures) if figures else None


def judged(
    found: Sequence[Compared],
    chances: Mapping[int, float],
    document: Benchmark,
    least_effect: float,
    *,
    decides: bool,
) -> list[Compared]:
    """Return *found* with verdicts. *chances* has the chance of each place that was tested.

    *decides* is False if there are too few rounds for any verdict.
    """
    more_is_better = {each.row: each.more_is_better for each in document.series}
    found_out = []
    for place, each in enumerate(found):
        chance = chances.get(place)
        verdict = _verdict(each, chance, least_effect, decides=decides)
        if verdict is Verdict.BETTER and not more_is_better[each.row]:
            verdict = Verdict.WORSE
        elif verdict is Verdict.WORSE and not more_is_better[each.row]:
            verdict = Verdict.BETTER
        found_out.append(replace(each, verdict=verdict, chance=chance))
    return found_out


def _verdict(compared: Compared, chance: float | None, least_effect: float, *, decides: bool) -> Verdict:
    """Return the verdict on a figure of which more is better."""
    first, second, ratio = compared.first, compared.second, compared.ratio
    if first is None or second is None:
        return Verdict.ONE_SIDED
    if ratio is None:
        same = (first.low, first.high) == (second.low, second.high)
        return Verdict.SAME if same else Verdict.FROM_NOTHING
    if ratio.low == ratio.high == 1:
        return Verdict.SAME
    if not decides:
        return Verdict.TOO_FEW
    if abs(math.log(ratio.median or math.inf)) <= math.log1p(least_effect):
        return Verdict.SAME
    if chance is None or chance > CHANCE or ratio.low <= 1 <= ratio.high:
        return Verdict.TOO_FEW
    return Verdict.BETTER if ratio.median > 1 else Verdict.WORSE


def instead(compared: Compared, verdict: Verdict) -> Compared:
    """Return *compared* with *verdict* in place of better or worse."""
    decided = compared.verdict in (Verdict.BETTER, Verdict.WORSE)
    return replace(compared, verdict=verdict) if decided else compared
