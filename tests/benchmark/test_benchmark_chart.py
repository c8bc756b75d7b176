"""A chart of ratios has a distinct label for each ratio, and draws ratios without a clear difference."""

import re
from dataclasses import replace
from pathlib import Path

from thinsim.benchmark.chart import comparison_chart
from thinsim.benchmark.intervals import Interval
from thinsim.benchmark.verdicts import Compared, Verdict


def compared(sizes: str, verdict: Verdict, ratio: float) -> Compared:
    interval = Interval(ratio, ratio / 2, ratio * 2, 0.5)
    return Compared(
        "import $the$ image", "s", "emulated/core/on", sizes, interval, interval, interval, verdict
    )


def labels(path: Path) -> list[str]:
    # Letters are drawn as outlines. The SVG has their text in a comment.
    return re.findall(r"<!-- (.+?) -->", path.read_text())


def test_a_label_has_the_words_that_distinguish_a_ratio_and_the_title_has_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    small, large = (compared(f"pool 1 GiB, container {size} MiB", Verdict.TOO_FEW, 1.5) for size in (1, 20))
    comparison_chart([small, large], "ratios to off", path)
    found = [label for label in labels(path) if label.startswith("import")]
    assert found == [f"import $the$ image, container {size} MiB" for size in (1, 20)]
    assert {"ratios to off", "emulated/core/on, pool 1 GiB"} <= set(labels(path))
    other = replace(small, contender="emulated/core/committed")
    comparison_chart([small, other], "ratios to off", path)
    found = [label for label in labels(path) if label.startswith("import")]
    assert found == [f"import $the$ image, emulated/core/{setting}" for setting in ("on", "committed")]


def test_the_axis_has_ratios_that_people_read(tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    comparison_chart([compared("", Verdict.BETTER, 0.4), compared("", Verdict.WORSE, 3.0)], "ratios", path)
    assert {"0.5", "1", "2", "5"} <= set(labels(path))


def test_only_a_verdict_gives_a_dot_a_colour(tmp_path: Path) -> None:
    path, red, green = tmp_path / "chart.svg", "#d62728", "#2ca02c"
    for verdict, colour in {Verdict.BETTER: green, Verdict.WORSE: red}.items():
        comparison_chart([compared("", verdict, 1.5)], "ratios", path)
        assert colour in path.read_text()
    for verdict in set(Verdict) - {Verdict.BETTER, Verdict.WORSE}:
        comparison_chart([compared("", verdict, 1.5), compared("", verdict, 0.5)], "ratios", path)
        assert red not in path.read_text()
        assert green not in path.read_text()


def test_no_ratio_at_all_gives_an_empty_chart(tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    comparison_chart([], "ratios", path)
    assert "ratios" in labels(path)
