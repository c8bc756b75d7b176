"""Comparisons as tables for people."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from thinsim.benchmark.comparison import Compared, between, differences, within
from thinsim.benchmark.document import Benchmark
from thinsim.benchmark.intervals import Interval

_MARKS = {"better": "green", "worse": "red"}


def print_benchmark(console: Console, document: Benchmark) -> None:
    """Print a table a size: a row per figure, a column per contender, ratios to the first."""
    first, *others = document.contenders
    for sizes in document.sizes:
        table = Table(box=None, title=sizes, title_justify="left", pad_edge=False)
        table.add_column("")
        table.add_column(first, justify="right")
        for other in others:
            table.add_column(other, justify="right")
            table.add_column("ratio", justify="right")
        for row in dict.fromkeys(series.row for series in document.series):
            compared = list(within(document, sizes, row))
            table.add_row(f"{row}, {compared[0].unit}".rstrip(", "), *_cells(compared))
        console.print(table)
        console.print()
    rounds = f"{document.rounds} interleaved rounds after {document.warm_up} to warm up"
    console.print(f"Medians of {rounds}; a ratio is the median of the rounds' own ratios to {first}.")
    console.print(_explanation(within_ratios(document)), highlight=False)


def print_comparison(console: Console, first: Benchmark, second: Benchmark) -> None:
    """Print a table a size of all that either has, and in what their environments differ."""
    found = between(first, second)
    for sizes in dict.fromkeys(each.sizes for each in found):
        table = Table(box=None, title=sizes, title_justify="left", pad_edge=False)
        for heading in ("", "contender"):
            table.add_column(heading)
        for heading in ("A", "B", "B to A", "interval"):
            table.add_column(heading, justify="right")
        table.add_column("")
        for each in (each for each in found if each.sizes == sizes):
            style = _MARKS.get(each.verdict)
            table.add_row(
                f"{each.row}, {each.unit}".rstrip(", "),
                each.contender,
                _number(each.first),
                _number(each.second),
                _number(each.ratio),
                _range(each.ratio),
                f"[{style}]{each.verdict}[/{style}]" if style else str(each.verdict),
            )
        console.print(table)
        console.print()
    console.print(_explanation(each.ratio for each in found), highlight=False)
    for difference in differences(first, second):
        console.print(f"the environments differ in {difference}", highlight=False, markup=False)
    console.print(
        "A and B were not measured in one run: what changed on the machine in between is in the ratios."
    )


def within_ratios(document: Benchmark) -> Iterable[Interval | None]:
    """Yield the ratios that a document's table shows."""
    for sizes in document.sizes:
        for row in dict.fromkeys(series.row for series in document.series):
            yield from (each.ratio for each in within(document, sizes, row))


def _cells(compared: Sequence[Compared]) -> Iterable[str]:
    for number, each in enumerate(compared):
        yield _number(each.second)
        if number:
            style = _MARKS.get(each.verdict)
            text = f"{_number(each.ratio)} {_range(each.ratio)}" if each.ratio else "-"
            yield f"[{style}]{text}[/{style}]" if style else text


def _explanation(ratios: Iterable[Interval | None]) -> str:
    least = min((ratio.confidence for ratio in ratios if ratio is not None), default=0.0)
    if not least:
        return "One round does not tell how sure a ratio is: give --rounds more."
    return f"a–b: holds the ratio's median with {least:.0%} at least; coloured where it does not hold 1."


def _number(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    digits = 0 if interval.median >= 1000 else 1 if interval.median >= 100 else 2
    return f"{interval.median:.{digits}f}"


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.2f}–{interval.high:.2f}"
