"""Series side by side: within one document by rounds, between two by their medians. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from thinsim.benchmark.document import Benchmark, Series
from thinsim.benchmark.intervals import Interval, median_interval


class Verdict(StrEnum):
    """What a ratio's interval allows to be said."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "no difference seen"
    """The interval holds 1."""
    ONE_SIDED = "only one has it"
    FROM_NOTHING = "from 0, no ratio"


@dataclass(frozen=True, slots=True)
class Compared:
    """A series and another; *ratio* is of the second to the first, None where one has no figures."""

    row: str
    unit: str
    contender: str
    sizes: str
    first: Interval | None
    second: Interval | None
    ratio: Interval | None
    verdict: Verdict


def within(document: Benchmark, sizes: str, row: str) -> Iterator[Compared]:
    """Yield each contender against the document's first; ratios are of the same rounds."""
    reference = document.find(row, document.contenders[0], sizes)
    for contender in document.contenders:
        series = document.find(row, contender, sizes)
        if series is not None and reference is not None:
            yield _compared(reference, series, _of_rounds(reference, series))


def between(first: Benchmark, second: Benchmark) -> list[Compared]:
    """Return what both documents have, in the first's order; the rounds of two documents have no pairs."""
    found = []
    for series in first.series:
        other = second.find(series.row, series.contender, series.sizes)
        if other is not None and (series.known or other.known):
            ratio = None
            if series.known and other.known:
                ratio = median_interval(other.known).over(median_interval(series.known))
            found.append(_compared(series, other, ratio))
    return found


def differences(first: Benchmark, second: Benchmark) -> list[str]:
    """Return in what the two documents' environments differ, in words."""
    names = dict.fromkeys([*first.environment, *second.environment])
    return [
        f"{name}: {first.environment.get(name, '-')} against {second.environment.get(name, '-')}"
        for name in names
        if first.environment.get(name) != second.environment.get(name)
    ]


def _of_rounds(reference: Series, series: Series) -> Interval | None:
    mine, its = series.known, reference.known
    if len(mine) != len(its) or not mine or 0 in its:
        return None
    return median_interval([figure / other for figure, other in zip(mine, its, strict=True)])


def _compared(first: Series, second: Series, ratio: Interval | None) -> Compared:
    before, after = _interval(first.known), _interval(second.known)
    return Compared(
        row=second.row,
        unit=second.unit,
        contender=second.contender,
        sizes=second.sizes,
        first=before,
        second=after,
        ratio=ratio,
        verdict=_verdict(before, after, ratio, second.more_is_better),
    )


def _interval(figures: Sequence[float]) -> Interval | None:
    return median_interval(figures) if figures else None


def _verdict(
    first: Interval | None, second: Interval | None, ratio: Interval | None, more_is_better: bool
) -> Verdict:
    if first is None or second is None:
        return Verdict.ONE_SIDED
    if ratio is None:
        return Verdict.SAME if first == second else Verdict.FROM_NOTHING
    if ratio.low <= 1 <= ratio.high:
        return Verdict.SAME
    return Verdict.BETTER if (ratio.low > 1) == more_is_better else Verdict.WORSE
