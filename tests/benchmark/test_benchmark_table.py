"""The tables of benchmarks fit a narrow terminal, cut nothing off, and break no word."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from thinsim.benchmark.comparison import compare_benchmarks
from thinsim.benchmark.document import Benchmark, RoundLoad, Series, StepTimes
from thinsim.benchmark.intervals import Interval
from thinsim.benchmark.table import print_benchmark, print_comparison
from thinsim.benchmark.wording import number
from thinsim.measure.machine_load import NO_LOAD

SIZES = "pool 2 GiB, image 100 MiB, container 100 MiB"
CONTENDERS = ["emulated/core/off", "emulated/core/on", "emulated/core/committed"]
ROWS = ["prepare a snapshot", "remove a committed snapshot", "processor time, all processes"]


def benchmark(rounds: int = 10, contenders: list[str] = CONTENDERS) -> Benchmark:
    return Benchmark(
        kind="thinsim bench",
        format=1,
        command="thinsim bench",
        environment={},
        rounds=rounds,
        warm_up=1,
        contenders=contenders,
        sizes=[SIZES],
        series=[
            Series(
                row=row,
                unit="ms",
                more_is_better=False,
                contender=contender,
                sizes=SIZES,
                figures=[1234.5 * (place + 1)] * rounds,
            )
            for row in ROWS
            for place, contender in enumerate(contenders)
        ],
        steps=[
            StepTimes(
                step=row, contender=contender, sizes=SIZES, count=50, p50=1.5, p90=2.5, p99=None, longest=9
            )
            for row in ROWS
            for contender in contenders
        ],
        loads=[
            RoundLoad(
                round=number,
                load=replace(NO_LOAD, seconds=20, others=0.5, cpu_pressure=0.38)
                if number == 3
                else replace(NO_LOAD, seconds=10),
            )
            for number in range(1, rounds + 1)
        ],
    )


def shown(
    width: int, document: Benchmark, after: Benchmark | None = None, *, percentiles: bool = False
) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    if after is None:
        print_benchmark(console, document, percentiles=percentiles)
    else:
        print_comparison(console, compare_benchmarks(document, after))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [200, 100, 80, 60, 50, 40, 30])
def test_a_narrow_terminal_cuts_nothing_and_breaks_no_word(width: int) -> None:
    # In a list, headings end with a colon.
    whole = {word.rstrip(":") for line in everything(1000) for word in line.split()}
    narrow = everything(width)
    assert max(map(len, narrow)) <= width
    words = {word.rstrip(":") for line in narrow for word in line.split()}
    # A narrow table writes A and B for the names of contenders, and marks for verdicts.
    assert words <= whole | {"A", "B", "to", "interval", "?", "steps"}
    assert {"1.00", "2.00", "2.00–2.00", "worse", "processes,"} <= words


def everything(width: int) -> list[str]:
    before, after = benchmark(), benchmark()
    slower = after.model_copy(
        update={
            "series": [
                each.model_copy(update={"figures": [2 * (figure or 0) for figure in each.figures]})
                for each in after.series
            ]
        }
    )
    return [
        *shown(width, before, percentiles=True),
        *shown(width, before, slower),
        *shown(width, before, after),
    ]


def test_tables_that_do_not_fit_are_below_one_another() -> None:
    wide, narrow = shown(200, benchmark()), shown(80, benchmark())
    assert sum(SIZES in line for line in wide) == 1
    assert sum(SIZES in line for line in narrow) == 2
    assert [line.strip() for line in narrow if line.startswith("B: ")] == [
        f"B: {name}" for name in CONTENDERS[1:]
    ]
    compared = shown(60, benchmark(), benchmark())
    assert [line.strip() for line in compared if line.strip() in CONTENDERS] == CONTENDERS


def test_a_pipe_gets_each_sentence_on_one_line() -> None:
    console = Console(file=io.StringIO(), width=50)
    print_benchmark(console, benchmark())
    assert isinstance(console.file, io.StringIO)
    assert any(line.endswith("the rounds' own ratios to emulated/core/off.") for line in lines_of(console))


def lines_of(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return [line for line in console.file.getvalue().splitlines() if line.startswith("Medians")]


def test_a_verdict_is_a_word_as_well_as_a_colour() -> None:
    lines = shown(200, benchmark())
    assert sum(line.count("2.00–2.00 worse") for line in lines) == len(ROWS)
    assert any("the change is larger than 5 %" in line for line in lines)
    same = benchmark(contenders=["a"]).series
    equal = benchmark(contenders=["a", "b"]).model_copy(
        update={"series": [*same, *(each.model_copy(update={"contender": "b"}) for each in same)]}
    )
    assert not any("better" in line or "worse" in line for line in shown(200, equal))


def test_one_round_has_no_interval() -> None:
    lines = shown(200, benchmark(1), benchmark(1))
    assert not any("1.00–" in line for line in lines)
    assert any("One round gives no confidence" in line for line in lines)
    alone = shown(200, benchmark(1))
    assert any(line.startswith("One round after 1 to warm up") for line in alone)


def test_a_contender_alone_has_no_ratio_to_explain() -> None:
    lines = shown(200, benchmark(5, CONTENDERS[:1]))
    assert "Medians of 5 interleaved rounds after 1 to warm up." in [line.strip() for line in lines]
    assert not any("ratio" in line for line in lines)


def test_too_few_rounds_for_a_verdict_are_named() -> None:
    lines = shown(200, benchmark(6))
    assert "A verdict needs at least 7 rounds (--rounds)." in [line.strip() for line in lines]
    assert any(line.startswith("?: too few rounds") for line in lines)
    assert not any("A verdict needs" in line for line in shown(200, benchmark(7)))


def test_a_disturbed_round_is_named_with_its_cause_below_the_tables() -> None:
    line = (
        "Disturbed: round 3 took 100 % more time: other programs kept the processors busy "
        "(waited for a processor 38 % of the time)."
    )
    assert line in [each.strip() for each in shown(200, benchmark())]
    compared = [each.strip() for each in shown(200, benchmark(), benchmark())]
    assert {line.replace("round 3", f"{name}: round 3") for name in "AB"} <= set(compared)


def test_what_limits_a_comparison_comes_before_its_tables() -> None:
    other = benchmark().model_copy(
        update={"environment": {"processor": "slow"}, "cut_short": "interrupted in round 11"}
    )
    lines = [line.strip() for line in shown(200, benchmark(), other)]
    table = next(place for place, line in enumerate(lines) if SIZES in line)
    before = lines[:table]
    assert "B was cut short after 10 rounds: interrupted in round 11" in before
    assert any("not from the same machine" in line and "processor: - against slow" in line for line in before)


def test_percentiles_are_printed_on_request_and_missing_ones_are_dashes() -> None:
    assert not any("p99" in line for line in shown(200, benchmark()))
    lines = shown(200, benchmark(), percentiles=True)
    assert sum("p99" in line for line in lines) == len(CONTENDERS)
    assert any(line.split()[-5:] == ["50", "1.50", "2.50", "-", "9.00"] for line in lines)


def test_names_of_a_foreign_document_are_no_markup() -> None:
    odd = benchmark(contenders=["[red]a[/blue]", "[/b]"])
    for lines in (shown(200, odd), shown(200, odd, odd), shown(60, odd, odd), shown(30, odd)):
        text = "\n".join(lines)
        assert "[red]a[/blue]" in text
        assert "[/b]" in text


def test_a_row_without_a_ratio_has_its_reason_below_the_table() -> None:
    document = benchmark(8)
    figures = [0.0, *[1.0] * 7]
    zeros = [
        each.model_copy(update={"figures": figures}) if each.contender == document.contenders[0] else each
        for each in document.series
    ]
    reason = "-: no ratio, because the figure of the first is 0, in at least one round."
    assert reason in [line.strip() for line in shown(200, document.model_copy(update={"series": zeros}))]
    assert reason not in [line.strip() for line in shown(200, document)]


def test_a_table_names_the_reason_of_a_run_that_was_cut_short() -> None:
    lines = shown(200, benchmark(8).model_copy(update={"cut_short": "interrupted in round 9, a"}))
    assert "Cut short after 8 rounds: interrupted in round 9, a" in [line.strip() for line in lines]


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (0, "0.00"),
        (0.000965, "0.000965"),
        (0.00663, "0.00663"),
        (0.041, "0.0410"),
        (0.2, "0.20"),
        (9.52, "9.52"),
        (123.45, "123.5"),
        (12345.6, "12346"),
    ],
)
def test_a_small_figure_keeps_three_significant_digits(figure: float, text: str) -> None:
    assert number(Interval(figure, figure, figure, 0.95)) == text
