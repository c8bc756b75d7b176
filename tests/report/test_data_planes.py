"""Every report names the data plane of its pool once, and none names one for a pool of the kernel."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from tests.benchmark.test_benchmark_table import benchmark
from tests.regression.stored import HERE, baseline, scenario, variant
from thinsim.benchmark.comparison import compare_benchmarks
from thinsim.benchmark.document import Benchmark
from thinsim.benchmark.table import print_benchmark
from thinsim.cli.comparison_outputs import print_result
from thinsim.regression.comparison import ComparisonResult, ComparisonRules, compare_with_baseline
from thinsim.regression.markdown import markdown
from thinsim.regression.tolerances import Tolerances
from thinsim.report.document import Report, from_json, to_json
from thinsim.report.environment import DATA_PLANE
from thinsim.report.html.page import render
from thinsim.report.report_table import print_report

ON_FILE = "the file under the data device"
SENTENCE = f"Data plane: {ON_FILE}."


def printed(show: Callable[[Console], object]) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_run_has_the_data_plane_of_its_pool_as_text_json_and_page(image_removal: Report) -> None:
    assert image_removal.environment[DATA_PLANE] == "Python serves every request"
    there = from_json(to_json(image_removal), "there")
    assert there.environment[DATA_PLANE] == "Python serves every request"
    assert "Data plane: Python serves every request." in printed(lambda to: print_report(to, there))
    assert f"<tr><th>{DATA_PLANE}</th><td>Python serves every request</td></tr>" in render(there)


def test_a_run_on_a_pool_of_the_kernel_has_none(image_removal: Report) -> None:
    others = {name: value for name, value in image_removal.environment.items() if name != DATA_PLANE}
    report = image_removal.model_copy(update={"environment": others})
    for text in (printed(lambda to: print_report(to, report)), render(report)):
        assert "data plane" not in text.lower()


def on(plane: str) -> Benchmark:
    return benchmark().model_copy(update={"environment": {DATA_PLANE: plane}})


def test_a_benchmark_prints_it_and_a_comparison_of_two_names_the_difference() -> None:
    assert SENTENCE in printed(lambda to: print_benchmark(to, on(ON_FILE)))
    assert "data plane" not in printed(lambda to: print_benchmark(to, benchmark())).lower()
    found = compare_benchmarks(on(ON_FILE), on("Python serves every request"))
    assert found.conditions_differ == [f"{DATA_PLANE}: {ON_FILE} against Python serves every request"]


@pytest.mark.parametrize("plane", [ON_FILE, ""])
def test_ci_prints_it_once_and_so_does_the_page_of_the_job(plane: str) -> None:
    here = {**HERE, **({DATA_PLANE: plane} if plane else {})}
    now = [scenario(variant(), environment=here), scenario(variant(), environment=here, key="other.toml")]
    comparisons = compare_with_baseline(
        now, baseline(*now), ComparisonRules(), {}, {each.key for each in now}
    )
    result = ComparisonResult(comparisons, {}, [], Tolerances())
    for text in (printed(lambda to: print_result(to, result)), markdown(result)):
        assert text.count(SENTENCE) == bool(plane)
        assert "environment:" not in text
