"""These functions put figures, intervals and verdicts of benchmarks into words. Pure."""

import math
from collections.abc import Collection, Iterable, Iterator

from thinsim.benchmark.document import Benchmark
from thinsim.benchmark.intervals import Interval
from thinsim.benchmark.verdicts import Compared, Verdict

SHORT = {
    Verdict.BETTER: "better",
    Verdict.WORSE: "worse",
    Verdict.SAME: "",
    Verdict.TOO_FEW: "?",
    Verdict.ONE_SIDED: "",
    Verdict.FROM_NOTHING: "",
    Verdict.BUSY: "busy",
    Verdict.OTHER_MACHINE: "other",
}
"""The verdict as a word that fits a narrow column."""

_MARKS = (Verdict.TOO_FEW, Verdict.BUSY, Verdict.OTHER_MACHINE)


def number(interval: Interval | None) -> str:
    """Return the median, or a dash. From 0.1 to 1 it has two significant digits, elsewhere three or more."""
    return "-" if interval is None else _digits(interval.median, 0 if interval.median >= 1000 else 1)


def range_text(interval: Interval | None) -> str:
    """Return the text of the interval; that of a single figure is empty."""
    if interval is None or not interval.confidence:
        return ""
    return f"{_digits(interval.low)}–{_digits(interval.high)}"


def _digits(figure: float, large: int = 2) -> str:
    """Return *figure* with two decimals, more below 0.1, and *large* from 100.

    A command of milliseconds would otherwise have the figures 0.01 and 0.02.
    """
    if figure >= 100:
        return f"{figure:.{large}f}"
    below = 0 < figure < 0.1
    return f"{figure:.{min(2 - math.floor(math.log10(figure)), 9) if below else 2}f}"


def row_text(compared: Compared) -> str:
    """Return the name of the row with its unit."""
    return f"{compared.row}, {compared.unit}".rstrip(", ")


def share_text(share: float) -> str:
    """Return a share as a percentage: ``0.05`` -> ``5 %``."""
    return f"{share * 100:g} %"


def what_was_measured(document: Benchmark) -> str:
    """Return the numbers of rounds, and the meaning of the figures."""
    several = f"Medians of {document.rounds} interleaved rounds"
    warm_up = f"after {document.warm_up} to warm up" if document.warm_up else "without a warm-up round"
    what = f"{several if document.rounds > 1 else 'One round'} {warm_up}"
    first, *others = document.contenders
    return f"{what}; a ratio is the median of the rounds' own ratios to {first}." if others else f"{what}."


def interval_meaning(ratios: Iterable[Interval | None]) -> str:
    """Return the meaning of the intervals, with their least confidence."""
    known = [ratio.confidence for ratio in ratios if ratio is not None]
    if not known:
        return "No figures could be compared."
    least = min(known)
    if not least:
        return "One round gives no confidence in a ratio: use more rounds (--rounds)."
    return (
        f"a–b: the interval that holds the ratio's median with a confidence of at least {least * 100:.0f} %."
    )


def explained_verdicts(compared: Iterable[Compared], least_effect: float) -> Iterator[str]:
    """Yield the meaning of better and worse, if a row has one of them."""
    if any(each.verdict in (Verdict.BETTER, Verdict.WORSE) for each in compared):
        yield (
            f"better, worse: the change is larger than {share_text(least_effect)}. "
            "Chance alone gives at most one of 100 such tables a false verdict."
        )


def explained_marks(compared: Collection[Compared]) -> Iterator[str]:
    """Yield the meaning of each short mark that a row has."""
    for verdict in _MARKS:
        if any(each.verdict is verdict for each in compared):
            yield f"{SHORT[verdict]}: {verdict}."


def explained_dashes(compared: Iterable[Compared]) -> Iterator[str]:
    """Yield the reason why a row with figures of both contenders has no ratio, if there is such a row."""
    if any(each.verdict is Verdict.FROM_NOTHING for each in compared):
        yield "-: no ratio, because the figure of the first is 0, in at least one round."


def cut_short_text(document: Benchmark) -> Iterator[str]:
    """Yield how many rounds a document has that was cut short, with the reason."""
    if document.cut_short is not None:
        yield f"Cut short after {document.rounds_text}: {document.cut_short}"
