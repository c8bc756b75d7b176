"""A benchmark becomes CSV that programs read, and Markdown tables with the verdicts of the terminal."""

import csv
import io

from tests.benchmark.test_benchmark_table import CONTENDERS, ROWS, SIZES, benchmark
from thinsim.benchmark.comparison import compare_benchmarks
from thinsim.benchmark.exports import benchmark_markdown, comparison_markdown, csv_text


def test_csv_has_one_line_per_figure_with_its_round() -> None:
    found = list(csv.DictReader(io.StringIO(csv_text(benchmark(3)))))
    assert len(found) == 3 * len(ROWS) * len(CONTENDERS)
    assert found[0] == {
        "row": ROWS[0],
        "unit": "ms",
        "more_is_better": "false",
        "contender": CONTENDERS[0],
        "sizes": SIZES,
        "round": "1",
        "figure": "1234.5",
    }
    without = benchmark(1)
    first = without.series[0].model_copy(update={"figures": [None]})
    assert len(csv_text(without.model_copy(update={"series": [first]})).splitlines()) == 1


def test_markdown_has_a_table_per_size_with_equal_columns_and_bold_verdicts() -> None:
    text = benchmark_markdown(benchmark().model_copy(update={"cut_short": "a | b"}))
    lines = text.splitlines()
    assert f"### {SIZES}" in lines
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(ROWS)
    assert len({line.count("|") for line in rows}) == 1
    assert text.count("**worse**") == len(ROWS) * 2
    assert "Disturbed: round 3 took 100 % more time" in text
    assert r"Cut short after 10 rounds: a \| b" in lines
    alone = benchmark_markdown(benchmark(contenders=CONTENDERS[:1]))
    assert "ratio" not in alone


def test_markdown_of_a_comparison_has_what_limits_it_before_the_tables() -> None:
    after = benchmark().model_copy(update={"environment": {"processor": "slow"}, "cut_short": "interrupted"})
    text = comparison_markdown(compare_benchmarks(benchmark(), after))
    table = text.index("###")
    assert text.index("B was cut short") < table
    assert text.index("processor: - against slow") < table
    assert "| no difference seen |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(ROWS) * len(CONTENDERS)
