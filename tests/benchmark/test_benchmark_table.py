"""The tables of benchmarks fit a narrow terminal, cut nothing off, and print names unchanged."""

import io

import pytest
from rich.console import Console

from thinsim.benchmark.comparison import compare_benchmarks
from thinsim.benchmark.document import Benchmark, Series
from thinsim.benchmark.table import print_benchmark, print_comparison

SIZES = "pool 2 GiB, image 100 MiB, container 100 MiB"
CONTENDERS = ["emulated/core/off", "emulated/core/on", "emulated/core/committed"]
ROWS = ["prepare a snapshot", "remove a committed snapshot", "processor time, all processes"]


def benchmark(rounds: int = 5, contenders: list[str] = CONTENDERS) -> Benchmark:
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
    )


def shown(width: int, document: Benchmark, after: Benchmark | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    if after is None:
        print_benchmark(console, document)
    else:
        print_comparison(console, compare_benchmarks(document, after))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [200, 80, 50])
def test_a_narrow_terminal_cuts_no_figure_and_no_name(width: int) -> None:
    for lines in (shown(width, benchmark()), shown(width, benchmark(), benchmark())):
        table = [line for line in lines if not line.startswith(("Medians", "a–b", "A and B"))]
        assert max(map(len, table)) <= width
        assert not any("…" in line for line in lines)
        # A figure is on one line, a name may continue on the next.
        assert any("2.00 2.00–2.00" in line or "1.00  1.00–1.00" in line for line in table)


def test_tables_that_do_not_fit_are_below_one_another() -> None:
    wide, narrow = shown(200, benchmark()), shown(80, benchmark())
    assert sum(SIZES in line for line in wide) == 1
    assert sum(SIZES in line for line in narrow) == 2
    compared = shown(80, benchmark(), benchmark())
    assert [line.strip() for line in compared if SIZES in line] == [f"{name}, {SIZES}" for name in CONTENDERS]


def test_one_round_has_no_interval() -> None:
    lines = shown(200, benchmark(1), benchmark(1))
    assert not any("–" in line for line in lines)
    assert any("One round gives no confidence" in line for line in lines)
    alone = shown(200, benchmark(1))
    assert any(line.startswith("One round after 1 to warm up") for line in alone)


def test_a_contender_alone_has_no_ratio_to_explain() -> None:
    assert (
        shown(200, benchmark(5, CONTENDERS[:1]))[-1] == "Medians of 5 interleaved rounds after 1 to warm up."
    )


def test_a_confidence_too_low_for_a_verdict_is_printed() -> None:
    lines = shown(200, benchmark(3))
    assert any("at least 75%; a verdict needs 80%" in line for line in lines)
    assert any("at least 94%; it is coloured" in line for line in shown(200, benchmark(5)))


def test_names_of_a_foreign_document_are_no_markup() -> None:
    odd = benchmark(contenders=["[red]a[/blue]", "[/b]"])
    for lines in (shown(200, odd), shown(200, odd, odd), shown(80, odd, odd)):
        text = "\n".join(lines)
        assert "[red]a[/blue]" in text
        assert "[/b]" in text
