"""Percentiles of steps are times that a step really took, and none is invented from too few steps."""

import pytest

from thinsim.benchmark.step_times import percentile, step_times, summary
from thinsim.measure.sample import StepSample


def sample(step: str, seconds: float, punches: int = 0) -> StepSample:
    return StepSample(
        phase="phase",
        step=step,
        seconds=seconds,
        pool_used_blocks=0,
        pool_total_blocks=0,
        pool_freed=0,
        host_allocated=0,
        host_file_blocks=0,
        host_grown=0,
        host_freed=0,
        ledger_freed=0,
        ledger_punches=punches,
        written=0,
        leaked=0,
    )


def test_steps_are_collected_by_kind_in_milliseconds() -> None:
    samples = [
        sample("prepare layer-1", 0.5),
        sample("commit layer-1", 0.25),
        sample("remove layer-1", 1.0, punches=3),
        sample("remove container", 2.0, punches=1),
        sample("prepare container", 1.5),
    ]
    assert step_times(samples) == {
        "prepare a snapshot": [500, 1500],
        "commit a snapshot": [250],
        "remove a committed snapshot": [1000],
        "steps that punch holes": [1000, 2000],
    }
    assert step_times([]) == {}


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(9, 90, None), (10, 90, 9), (99, 99, None), (100, 99, 99), (1000, 99, 990), (100, 90, 90)],
)
def test_a_percentile_is_the_nearest_rank(count: int, percent: int, expected: float | None) -> None:
    assert percentile([float(number) for number in range(count, 0, -1)], percent) == expected


def test_a_summary_of_one_step_has_only_that_step() -> None:
    found = summary("prepare", "a", "s", [4.0])
    assert (found.count, found.p50, found.p90, found.p99, found.longest) == (1, 4, None, None, 4)
