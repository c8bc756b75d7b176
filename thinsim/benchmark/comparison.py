"""A `Comparison` puts the series of two documents side by side. Pure.

Within one document, ratios are those of the rounds; between two documents, those of the medians.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from thinsim.benchmark.disturbances import disturbances, disturbed_more, kept_busy
from thinsim.benchmark.document import Benchmark
from thinsim.benchmark.intervals import median_interval
from thinsim.benchmark.significance import (
    LEAST_EFFECT,
    can_decide_in_pairs,
    can_decide_separately,
    paired_chances,
    separate_chances,
)
from thinsim.benchmark.verdicts import (
    Compared,
    Verdict,
    instead,
    judged,
    logarithms_of,
    of_rounds,
    put_side_by_side,
)
from thinsim.report.environment import DATA_PLANE

_OTHER_MACHINE = ("processor",)
"""With these differences of the environment, a verdict would be about the machines."""

_OTHER_CONDITIONS = ("kernel", "memory", "file system", "freed bytes", DATA_PLANE)
"""These differences of the environment change speeds, so the reader has to know them first."""

_COUNTS = ("hole punches", "written to the data device")
"""These rows do not depend on what else the machine does. All others do: a longer run has more samples of its
own processes, so even the bytes that thinsim reads and its memory grow."""


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
    conditions_differ: list[str] = []
    """The part of *environments_differ* that changes speeds: machine, kernel and file system."""
    cut_short: list[str] = []
    """The documents with fewer rounds than planned, each with the reason."""
    disturbed: list[str] = []
    """The rounds that took unusually long, and the load of other programs, in words."""
    least_effect: float = LEAST_EFFECT
    """The least change that is called better or worse, as a share: 0.05 is 5 %."""


def compare_benchmarks(first: Benchmark, second: Benchmark, least_effect: float = LEAST_EFFECT) -> Comparison:
    """Return the comparison of two documents."""
    return Comparison(
        compared=between(first, second, least_effect),
        only_first=missing(first, second),
        only_second=missing(second, first),
        environments_differ=differing_circumstances(first, second),
        conditions_differ=_differing(_conditions(first), _conditions(second)),
        cut_short=[
            f"{name} was cut short after {each.rounds_text}: {each.cut_short}"
            for name, each in (("A", first), ("B", second))
            if each.cut_short is not None
        ],
        disturbed=[
            *(f"A more than B: {words} in most rounds" for words in disturbed_more(first, second)),
            *(f"B more than A: {words} in most rounds" for words in disturbed_more(second, first)),
            *(f"A: {words}" for words in disturbances(first)),
            *(f"B: {words}" for words in disturbances(second)),
        ],
        least_effect=least_effect,
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a comparison."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Comparison.model_json_schema(mode="serialization"),
    }


def within(document: Benchmark, least_effect: float = LEAST_EFFECT) -> list[Compared]:
    """Return each contender compared with the document's first; ratios are those of the same rounds.

    The verdicts take the number of all rows of the document into account.
    """
    reference, *_ = document.contenders
    found: list[Compared] = []
    logarithms: dict[int, list[float]] = {}
    for sizes in document.sizes:
        for row in document.rows:
            first = document.find(row, reference, sizes)
            for contender in document.contenders:
                series = document.find(row, contender, sizes)
                if series is None or first is None:
                    continue
                ratio = of_rounds(first, series)
                if ratio is not None and contender != reference:
                    before, after = logarithms_of(first.known, series.known)
                    logarithms[len(found)] = [b - a for a, b in zip(before, after, strict=True)]
                found.append(put_side_by_side(first, series, ratio))
    chances = dict(zip(logarithms, paired_chances(list(logarithms.values()), least_effect), strict=True))
    return judged(found, chances, document, least_effect, decides=can_decide_in_pairs(document.rounds))


def between(first: Benchmark, second: Benchmark, least_effect: float = LEAST_EFFECT) -> list[Compared]:
    """Return the series that both documents have, in the order of the first.

    The rounds of two documents have no pairs, so ratios are those of the medians. The verdicts take the
    number of all rows into account.
    """
    found: list[Compared] = []
    logarithms: dict[int, tuple[list[float], list[float]]] = {}
    for series in first.series:
        other = second.find(series.row, series.contender, series.sizes)
        if other is not None and (series.known or other.known):
            ratio = None
            if series.known and other.known:
                ratio = median_interval(other.known).over(median_interval(series.known))
            if ratio is not None:
                logarithms[len(found)] = logarithms_of(series.known, other.known)
            found.append(put_side_by_side(series, other, ratio))
    chances = dict(zip(logarithms, separate_chances(list(logarithms.values()), least_effect), strict=True))
    decides = can_decide_separately(first.rounds, second.rounds)
    verdicts = judged(found, chances, second, least_effect, decides=decides)
    if any(first.environment.get(name) != second.environment.get(name) for name in _OTHER_MACHINE):
        return [instead(each, Verdict.OTHER_MACHINE) for each in verdicts]
    if _too_busy(first, second):
        return [each if each.row in _COUNTS else instead(each, Verdict.BUSY) for each in verdicts]
    return verdicts


def _too_busy(first: Benchmark, second: Benchmark) -> bool:
    """Return whether other programs may explain a difference between the two runs.

    If the processors were busy during both runs, their share in use and the pressure are near their limits.
    So they do not show that both runs waited equally long.
    """
    if kept_busy(first) or kept_busy(second):
        return True
    return bool(disturbed_more(first, second) or disturbed_more(second, first))


def missing(first: Benchmark, second: Benchmark) -> list[str]:
    """Return each contender at a size that *first* has and *second* lacks, in words."""
    there = {(series.contender, series.sizes) for series in second.series}
    here = dict.fromkeys((series.contender, series.sizes) for series in first.series)
    return [f"{contender}, {sizes}" for contender, sizes in here if (contender, sizes) not in there]


def differing_circumstances(first: Benchmark, second: Benchmark) -> list[str]:
    """Return the differences between the environments and the rounds of two documents, in words."""
    return _differing(_circumstances(first), _circumstances(second))


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
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


def _conditions(document: Benchmark) -> dict[str, str]:
    return {
        name: document.environment[name]
        for name in (*_OTHER_MACHINE, *_OTHER_CONDITIONS)
        if name in document.environment
    }
