"""A `Comparison` puts the series of two documents side by side. Pure.

Within one document, ratios are those of the rounds; between two documents, those of the medians.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from thinsim.benchmark.document import Benchmark, Series
from thinsim.benchmark.intervals import Interval, median_interval

LEAST_CONFIDENCE = 0.8
"""The least confidence at which an interval without 1 is called better or worse.

It takes four rounds of one document, or five rounds of each of two. With fewer rounds, even the whole range
misses the median too often."""


class Verdict(StrEnum):
    """A `Verdict` is the conclusion that the interval of a ratio allows."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "no difference seen"
    """The interval holds 1."""
    TOO_FEW = "too few rounds to tell"  # words: quoted
    ONE_SIDED = "only one has it"
    FROM_NOTHING = "from 0, no ratio"


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
    """`RIG/SUBJECT/SETTING`."""
    sizes: str
    """The sizes of image, container and pool, as text."""
    first: Interval | None
    """The median and interval of the first; null without figures."""
    second: Interval | None
    """The median and interval of the second; null without figures."""
    ratio: Interval | None
    """The ratio of the second to the first; null without one."""
    verdict: Verdict
    """The conclusion that the interval allows."""


class Comparison(BaseModel):
    """A comparison, which ``thinsim compare --json`` writes, has the common series of documents A and B."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    kind: Literal["thinsim compare"] = "thinsim compare"
    """The kind of document."""
    format: Literal[1] = 1
    """The version grows when a field changes its meaning or disappears; new fields do not change it."""
    compared: list[Compared]
    """The common series: A's median and interval first, B's second, and the ratio of B to A."""
    only_first: list[str]
    """Contenders at a size that only A has."""
    only_second: list[str]
    """Contenders at a size that only B has."""
    environments_differ: list[str]
    """Differences between the two environments and numbers of rounds, in words."""
    cut_short: list[str] = []
    """The documents with fewer rounds than planned, each with the reason."""


def compare_benchmarks(first: Benchmark, second: Benchmark) -> Comparison:
    """Return the comparison of two documents."""
    return Comparison(
        compared=between(first, second),
        only_first=missing(first, second),
        only_second=missing(second, first),
        environments_differ=differing_circumstances(first, second),
        cut_short=[
            f"{name} was cut short after {each.rounds_text}: {each.cut_short}"
            for name, each in (("A", first), ("B", second))
            if each.cut_short is not None
        ],
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a comparison."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Comparison.model_json_schema(mode="serialization"),
    }


def within(document: Benchmark, sizes: str, row: str) -> Iterator[Compared]:
    """Yield each contender compared with the document's first; ratios are those of the same rounds."""
    reference = document.find(row, document.contenders[0], sizes)
    for contender in document.contenders:
        series = document.find(row, contender, sizes)
        if series is not None and reference is not None:
            yield _compared(reference, series, _of_rounds(reference, series))


def between(first: Benchmark, second: Benchmark) -> list[Compared]:
    """Return the series that both documents have, in the order of the first.

    The rounds of two documents have no pairs, so ratios are those of the medians.
    """
    found = []
    for series in first.series:
        other = second.find(series.row, series.contender, series.sizes)
        if other is not None and (series.known or other.known):
            ratio = None
            if series.known and other.known:
                ratio = median_interval(other.known).over(median_interval(series.known))
            found.append(_compared(series, other, ratio))
    return found


def missing(first: Benchmark, second: Benchmark) -> list[str]:
    """Return each contender at a size that *first* has and *second* lacks, in words."""
    there = {(series.contender, series.sizes) for series in second.series}
    here = dict.fromkeys((series.contender, series.sizes) for series in first.series)
    return [f"{contender}, {sizes}" for contender, sizes in here if (contender, sizes) not in there]


def differing_circumstances(first: Benchmark, second: Benchmark) -> list[str]:
    """Return the differences between the environments and the rounds of two documents, in words."""
    one, other = _circumstances(first), _circumstances(second)
    return [
        f"{name}: {one.get(name, '-')} against {other.get(name, '-')}"
        for name in dict.fromkeys([*one, *other])
        if one.get(name) != other.get(name)
    ]


def _circumstances(document: Benchmark) -> dict[str, str]:
    return {
        **document.environment,
        "rounds": str(document.rounds),
        "rounds to warm up": str(document.warm_up),
    }


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
        same = (first.low, first.high) == (second.low, second.high)
        return Verdict.SAME if same else Verdict.FROM_NOTHING
    if ratio.low <= 1 <= ratio.high:
        return Verdict.SAME
    if ratio.confidence < LEAST_CONFIDENCE:
        return Verdict.TOO_FEW
    return Verdict.BETTER if (ratio.low > 1) == more_is_better else Verdict.WORSE
