"""`print_benchmark` and `print_comparison` print tables; a narrow terminal gets one below the other."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thinsim.benchmark.comparison import LEAST_CONFIDENCE, Compared, Comparison, within
from thinsim.benchmark.document import Benchmark
from thinsim.benchmark.intervals import Interval

_MARKS = {"better": "green", "worse": "red"}


def print_benchmark(console: Console, document: Benchmark) -> None:
    """Print one table per size, with a row per figure, a column per contender, and ratios to the first."""
    first, *others = document.contenders
    for sizes in document.sizes:
        whole = _side_by_side(document, sizes, others)
        if _fits(console, whole):
            _print(console, whole)
        else:
            for other in others or [first]:
                _print(console, _side_by_side(document, sizes, [other] if others else []))
    several = f"Medians of {document.rounds} interleaved rounds"
    what = f"{several if document.rounds > 1 else 'One round'} after {document.warm_up} to warm up"
    if not others:
        _print_line(console, f"{what}.")
        return
    _print_line(console, f"{what}; a ratio is the median of the rounds' own ratios to {first}.")
    _print_line(console, _explanation(_within_ratios(document)))


def print_comparison(console: Console, found: Comparison) -> None:
    """Print one table per size, the series that one document lacks, and the differences of environments."""
    for sizes in dict.fromkeys(each.sizes for each in found.compared):
        rows = [each for each in found.compared if each.sizes == sizes]
        whole = _compared_rows(sizes, rows, by_contender=True)
        if _fits(console, whole):
            _print(console, whole)
        else:
            for contender in dict.fromkeys(each.contender for each in rows):
                its = [each for each in rows if each.contender == contender]
                _print(console, _compared_rows(f"{contender}, {sizes}", its, by_contender=False))
    _print_line(console, _explanation(each.ratio for each in found.compared))
    for name, only in (("A", found.only_first), ("B", found.only_second)):
        for each in only:
            _print_line(console, f"not compared, since only {name} has it: {each}")
    for text in found.cut_short:
        _print_line(console, text)
    for difference in found.environments_differ:
        _print_line(console, f"the environments differ in {difference}")
    _print_line(
        console,
        "A and B are from two runs, so changes of the machine between them affect the ratios.",
    )


def _side_by_side(document: Benchmark, sizes: str, others: Sequence[str]) -> Table:
    first = document.contenders[0]
    table = _table(sizes)
    table.add_column("", overflow="fold")
    table.add_column(Text(first), justify="right", overflow="fold")
    for other in others:
        table.add_column(Text(other), justify="right", overflow="fold")
        table.add_column("ratio", justify="right", no_wrap=True)
    for row in dict.fromkeys(series.row for series in document.series):
        by_contender = {each.contender: each for each in within(document, sizes, row)}
        found = [by_contender[name] for name in (first, *others)]
        table.add_row(_what(found[0]), *_cells(found))
    return table


def _compared_rows(title: str, rows: Iterable[Compared], *, by_contender: bool) -> Table:
    table = _table(title)
    table.add_column("", overflow="fold")
    if by_contender:
        table.add_column("contender", overflow="fold")
    for heading in ("A", "B", "B to A", "interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for each in rows:
        table.add_row(
            _what(each),
            *([Text(each.contender)] if by_contender else []),
            _number(each.first),
            _number(each.second),
            _number(each.ratio),
            _range(each.ratio),
            Text(each.verdict, _MARKS.get(each.verdict, "")),
        )
    return table


def _table(title: str) -> Table:
    return Table(box=None, title=Text(title), title_justify="left", pad_edge=False)


def _fits(console: Console, table: Table) -> bool:
    return console.measure(table, options=console.options.update(width=1000)).maximum <= console.width


def _print(console: Console, table: Table) -> None:
    console.print(table)
    console.print()


def _print_line(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _within_ratios(document: Benchmark) -> Iterable[Interval | None]:
    """Yield the ratios in the table of *document*; the first contender has none."""
    for sizes in document.sizes:
        for row in dict.fromkeys(series.row for series in document.series):
            yield from (each.ratio for each in list(within(document, sizes, row))[1:])


def _what(compared: Compared) -> Text:
    return Text(f"{compared.row}, {compared.unit}".rstrip(", "))


def _cells(compared: Sequence[Compared]) -> Iterable[str | Text]:
    for number, each in enumerate(compared):
        yield _number(each.second)
        if number:
            text = f"{_number(each.ratio)} {_range(each.ratio)}".rstrip()
            yield Text(text, _MARKS.get(each.verdict, ""))


def _explanation(ratios: Iterable[Interval | None]) -> str:
    known = [ratio.confidence for ratio in ratios if ratio is not None]
    if not known:
        return "No figures could be compared."
    least = min(known)
    if not least:
        return "One round gives no confidence in a ratio: use more rounds (--rounds)."
    meaning = f"a–b: the interval that holds the ratio's median with a confidence of at least {least:.0%}"
    if least < LEAST_CONFIDENCE:
        return f"{meaning}; a verdict needs {LEAST_CONFIDENCE:.0%}: use more rounds (--rounds)."
    return f"{meaning}; it is coloured if it does not hold 1."


def _number(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    digits = 0 if interval.median >= 1000 else 1 if interval.median >= 100 else 2
    return f"{interval.median:.{digits}f}"


def _range(interval: Interval | None) -> str:
    """Return the text of the interval; that of a single figure is empty."""
    if interval is None or not interval.confidence:
        return ""
    return f"{interval.low:.2f}–{interval.high:.2f}"
