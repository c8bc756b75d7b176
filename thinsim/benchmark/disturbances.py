"""`disturbances` names the rounds that took unusually long, and the load that may be the cause. Pure."""

import statistics
from collections.abc import Iterator, Sequence

from thinsim.benchmark.document import Benchmark
from thinsim.measure.machine_load import BUSY_PROCESSORS, MachineLoad, usual_load

_FAR = 3.5
"""The modified z-score from which a round is an outlier (Iglewicz and Hoaglin, How to Detect and Handle
Outliers, 1993, section 3.3)."""

_LEAST_ROUNDS = 4
"""Fewer rounds have no usual time."""

_LEAST_SPREAD = 0.02
"""Rounds that differ by less than this share are all usual, even if most of them are equal."""


def disturbances(document: Benchmark) -> list[str]:
    """Return in words the load of most rounds, and each round that took unusually long or short."""
    return [*_always(document), *_outliers(document)]


def disturbed_more(document: Benchmark, other: Benchmark) -> list[str]:
    """Return in words what disturbed most rounds of *document*, and not those of *other*."""
    mine, its = _usual(document), _usual(other)
    return mine.disturbances(its) if mine is not None and its is not None else []


def kept_busy(document: Benchmark) -> bool:
    """Return whether other programs kept the processors busy in most rounds."""
    usual = _usual(document)
    return usual is not None and usual.others >= BUSY_PROCESSORS


def outlying(seconds: Sequence[float]) -> list[int]:
    """Return the places of the times that are far from the others."""
    if len(seconds) < _LEAST_ROUNDS:
        return []
    middle = statistics.median(seconds)
    spread = statistics.median(abs(each - middle) for each in seconds)
    spread = max(spread, _LEAST_SPREAD * middle)
    return [place for place, each in enumerate(seconds) if 0.6745 * abs(each - middle) > _FAR * spread]


def _always(document: Benchmark) -> Iterator[str]:
    usual = _usual(document)
    if usual is not None:
        for words in usual.disturbances():
            yield f"{'in most rounds' if len(document.loads) > 1 else 'in round 1'}, {words}"


def _outliers(document: Benchmark) -> Iterator[str]:
    seconds = [each.load.seconds for each in document.loads]
    middle = statistics.median(seconds) if seconds else 0
    for place in outlying(seconds):
        this = document.loads[place]
        others = [each.load for each in document.loads if each is not this]
        change = abs(seconds[place] / middle - 1) if middle else 0
        took = f"round {this.round} took {change:.0%}".replace("%", " %")
        if seconds[place] < middle:
            yield f"{took} less time than the median round"
        else:
            causes = this.load.disturbances(usual_load(others))
            yield f"{took} more time: {', and '.join(causes) or 'the load of the machine shows no cause'}"


def _usual(document: Benchmark) -> MachineLoad | None:
    return usual_load([each.load for each in document.loads])
