"""`print_benchmark` and `print_comparison` print tables; a narrow terminal gets one below the other."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thinsim.benchmark.comparison import Comparison, within
from thinsim.benchmark.disturbances import disturbances
from thinsim.benchmark.document import Benchmark, StepTimes
from thinsim.benchmark.significance import (
    LEAST_EFFECT,
    LEAST_PAIRS,
    LEAST_ROUNDS_OF_EACH,
    can_decide_in_pairs,
)
from thinsim.benchmark.verdicts import Compared, Verdict
from thinsim.benchmark.wording import (
    SHORT,
    cut_short_text,
    explained_dashes,
    explained_marks,
    explained_verdicts,
    interval_meaning,
    number,
    range_text,
    row_text,
    what_was_measured,
)
from thinsim.report.environment import data_plane_text
from thinsim.report.whole_words import WholeWords, print_table, print_words

_COLOURS = {Verdict.BETTER: "green", Verdict.WORSE: "red"}


def print_benchmark(
    console: Console,
    document: Benchmark,
    *,
    least_effect: float = LEAST_EFFECT,
    percentiles: bool = False,
) -> None:
    """Print one table per size, with a row per figure, a column per contender, and ratios to the first."""
    first, *others = document.contenders
    judged = within(document, least_effect)
    for sizes in document.sizes:
        of_size = [each for each in judged if each.sizes == sizes]
        whole = _side_by_side(of_size, document)
        if WholeWords(whole).fits(console):
            _print_titled(console, [sizes], whole)
            continue
        for other in others or [first]:
            its = [each for each in of_size if each.contender == other]
            if others:
                _print_titled(console, [f"A: {first}", f"B: {other}", sizes], _pairs(its))
            else:
                _print_titled(console, [first, sizes], _alone(its))
    if percentiles:
        _print_percentiles(console, document)
    print_words(console, what_was_measured(document))
    for text in data_plane_text(document.environment):
        print_words(console, text)
    if others:
        ratios = [each.ratio for each in judged if each.contender != first]
        print_words(console, interval_meaning(ratios))
        if not can_decide_in_pairs(document.rounds):
            print_words(console, f"A verdict needs at least {LEAST_PAIRS} rounds (--rounds).")
        for text in [
            *explained_verdicts(judged, least_effect),
            *explained_marks(judged),
            *explained_dashes(judged),
        ]:
            print_words(console, text)
    for text in disturbances(document):
        print_words(console, f"Disturbed: {text}.")
    for text in cut_short_text(document):
        print_words(console, text)


def print_comparison(console: Console, found: Comparison) -> None:
    """Print what limits the comparison, one table per size, and the differences of the documents."""
    for text in found.cut_short:
        print_words(console, text)
    if found.conditions_differ:
        print_words(
            console,
            "A and B are not from the same machine in the same state, so a ratio is not only the effect of "
            f"your change: {'; '.join(found.conditions_differ)}",
        )
    if found.cut_short or found.conditions_differ:
        console.print()
    short = False
    for sizes in dict.fromkeys(each.sizes for each in found.compared):
        rows = [each for each in found.compared if each.sizes == sizes]
        whole = _compared_rows(rows)
        if WholeWords(whole).fits(console):
            _print_titled(console, [sizes], whole)
            continue
        short = True
        for contender in dict.fromkeys(each.contender for each in rows):
            its = [each for each in rows if each.contender == contender]
            _print_titled(console, [contender, sizes], _pairs(its))
    print_words(console, interval_meaning([each.ratio for each in found.compared]))
    if any(each.verdict is Verdict.TOO_FEW for each in found.compared):
        print_words(
            console,
            "too few rounds to tell: the rounds differ too much. Measure again with more "  # words: quoted
            f"--rounds, at least {LEAST_ROUNDS_OF_EACH} in each run, or without other programs.",
        )
    for text in explained_verdicts(found.compared, found.least_effect):
        print_words(console, text)
    for text in explained_marks(found.compared) if short else ():
        print_words(console, text)
    for name, only in (("A", found.only_first), ("B", found.only_second)):
        for each in only:
            print_words(console, f"not compared, since only {name} has it: {each}")
    for text in found.disturbed:
        print_words(console, f"Disturbed: {text}.")
    for difference in found.environments_differ:
        if difference not in found.conditions_differ:
            print_words(console, f"the environments differ in {difference}")
    print_words(
        console, "A and B are from two runs, so changes of the machine between them affect the ratios."
    )


def _print_titled(console: Console, titles: Sequence[str], table: Table) -> None:
    for title in titles:
        print_words(console, title, "italic")
    print_table(console, table)
    console.print()


def _empty_table(headings: Sequence[str], *, left: Sequence[str] = ()) -> Table:
    """Return a table whose first column has names, which may have several lines; other cells have one."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    name, *others = headings
    table.add_column(Text(name))
    for heading in others:
        is_left = heading in left or not heading
        table.add_column(Text(heading), justify="left" if is_left else "right", no_wrap=True)
    return table


def _add_row(table: Table, name: str, cells: Iterable[str | Text]) -> None:
    """Add a row. A text that is not of type Text is no markup."""
    table.add_row(Text(name), *(cell if isinstance(cell, Text) else Text(cell) for cell in cells))


def _side_by_side(judged: Sequence[Compared], document: Benchmark) -> Table:
    first, *others = document.contenders
    headings = [first]
    for other in others:
        headings += [other, "ratio", "", ""]
    table = _empty_table(["", *headings])
    for row in dict.fromkeys(each.row for each in judged):
        by_contender = {each.contender: each for each in judged if each.row == row}
        cells: list[str | Text] = [number(by_contender[first].second)]
        for other in others:
            cells += [number(by_contender[other].second), *_ratio_cells(by_contender[other])]
        _add_row(table, row_text(by_contender[first]), cells)
    return table


def _pairs(rows: Iterable[Compared]) -> Table:
    table = _empty_table(["", "A", "B", "B to A", "interval", ""])
    for each in rows:
        _add_row(table, row_text(each), [number(each.first), number(each.second), *_ratio_cells(each)])
    return table


def _alone(rows: Iterable[Compared]) -> Table:
    table = _empty_table(["", "median"])
    for each in rows:
        _add_row(table, row_text(each), [number(each.second)])
    return table


def _compared_rows(rows: Iterable[Compared]) -> Table:
    table = _empty_table(["", "contender", "A", "B", "B to A", "interval", ""], left=("contender",))
    for each in rows:
        verdict = Text(each.verdict, _COLOURS.get(each.verdict, ""))
        ratio, interval, _ = _ratio_cells(each)
        _add_row(
            table,
            row_text(each),
            [each.contender, number(each.first), number(each.second), ratio, interval, verdict],
        )
    return table


def _ratio_cells(compared: Compared) -> tuple[Text, Text, Text]:
    colour = _COLOURS.get(compared.verdict, "")
    cells = (number(compared.ratio), range_text(compared.ratio), SHORT[compared.verdict])
    ratio, interval, mark = (Text(cell, colour) for cell in cells)
    return ratio, interval, mark


def _print_percentiles(console: Console, document: Benchmark) -> None:
    if not document.steps:
        print_words(console, "No contender has single steps: a command has none.")
    for sizes in document.sizes:
        for contender in document.contenders:
            its = [each for each in document.steps if (each.contender, each.sizes) == (contender, sizes)]
            if its:
                titles = [f"single steps of {contender}, ms", sizes]
                _print_titled(console, titles, _percentile_table(its))


def _percentile_table(steps: Iterable[StepTimes]) -> Table:
    table = _empty_table(["", "steps", "p50", "p90", "p99", "longest"])
    for each in steps:
        times = (each.p50, each.p90, each.p99, each.longest)
        cells = ["-" if time is None else f"{time:.2f}" for time in times]
        _add_row(table, each.step, [str(each.count), *cells])
    return table
