"""A benchmark and a comparison become Markdown here, and a benchmark becomes CSV. Pure."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from thinsim.benchmark.comparison import Comparison, within
from thinsim.benchmark.disturbances import disturbances
from thinsim.benchmark.document import Benchmark
from thinsim.benchmark.significance import LEAST_EFFECT
from thinsim.benchmark.verdicts import Compared, Verdict
from thinsim.benchmark.wording import (
    cut_short_text,
    explained_verdicts,
    interval_meaning,
    number,
    range_text,
    row_text,
    what_was_measured,
)

_COLUMNS = ("row", "unit", "more_is_better", "contender", "sizes", "round", "figure")


def csv_text(document: Benchmark) -> str:
    """Return one line per figure; a contender without the row has no line."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for each in document.series:
        better = "true" if each.more_is_better else "false"
        for round_number, figure in enumerate(each.figures, 1):
            if figure is not None:
                writer.writerow(
                    [each.row, each.unit, better, each.contender, each.sizes, round_number, figure]
                )
    return file.getvalue()


def benchmark_markdown(document: Benchmark, least_effect: float = LEAST_EFFECT) -> str:
    """Return a table per size, with the ratios to the first contender and the verdicts."""
    first, *others = document.contenders
    judged = within(document, least_effect)
    lines: list[str] = []
    for sizes in document.sizes:
        head = ["", f"`{first}`"]
        for other in others:
            head += [f"`{other}`", "ratio", "verdict"]
        rows = []
        for row in document.rows:
            its = {each.contender: each for each in judged if (each.row, each.sizes) == (row, sizes)}
            cells = [row_text(its[first]), number(its[first].second)]
            for other in others:
                verdict = "" if its[other].verdict is Verdict.ONE_SIDED else _verdict(its[other])
                cells += [number(its[other].second), _ratio(its[other]), verdict]
            rows.append(cells)
        lines += [f"### {_cell(sizes)}", "", *_table(head, rows), ""]
    lines += [what_was_measured(document), ""]
    if others:
        lines += [interval_meaning([each.ratio for each in judged if each.contender != first]), ""]
        lines += _paragraphs(explained_verdicts(judged, least_effect))
    lines += _paragraphs(f"Disturbed: {_cell(text)}." for text in disturbances(document))
    lines += _paragraphs(_cell(text) for text in cut_short_text(document))
    return "\n".join(lines).rstrip("\n") + "\n"


def comparison_markdown(found: Comparison) -> str:
    """Return a table per size with the ratios of B to A, and everything that limits the comparison."""
    lines = _paragraphs(_cell(text) for text in found.cut_short)
    lines += _paragraphs(
        f"Not the same machine in the same state: {_cell(x)}" for x in found.conditions_differ
    )
    for sizes in dict.fromkeys(each.sizes for each in found.compared):
        head = ["", "contender", "A", "B", "B to A", "verdict"]
        rows = [
            [
                row_text(each),
                f"`{each.contender}`",
                number(each.first),
                number(each.second),
                _ratio(each),
                _verdict(each),
            ]
            for each in found.compared
            if each.sizes == sizes
        ]
        lines += [f"### {_cell(sizes)}", "", *_table(head, rows), ""]
    lines += [interval_meaning([each.ratio for each in found.compared]), ""]
    lines += _paragraphs(explained_verdicts(found.compared, found.least_effect))
    for name, only in (("A", found.only_first), ("B", found.only_second)):
        lines += _paragraphs(f"Not compared, since only {name} has it: {_cell(each)}" for each in only)
    lines += _paragraphs(f"Disturbed: {_cell(text)}." for text in found.disturbed)
    lines += _paragraphs(f"The environments differ in {_cell(text)}" for text in found.environments_differ)
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _line(head)
    yield "|---|" + "--:|" * (len(head) - 1)
    for row in rows:
        yield _line(row)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _ratio(compared: Compared) -> str:
    return f"{number(compared.ratio)} {range_text(compared.ratio)}".rstrip()


def _verdict(compared: Compared) -> str:
    decided = compared.verdict in (Verdict.BETTER, Verdict.WORSE)
    return f"**{compared.verdict}**" if decided else str(compared.verdict)


def _paragraphs(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in (text, "")]
