"""Rounds that took unusually long are named, with the load of other programs as the cause."""

from dataclasses import replace

import pytest

from thinsim.benchmark.disturbances import disturbances, disturbed_more, outlying
from thinsim.benchmark.document import Benchmark, RoundLoad, Series
from thinsim.measure.machine_load import NO_LOAD, MachineLoad

QUIET = replace(NO_LOAD, seconds=10, cpu_pressure=0.05)


def measured(*loads: MachineLoad) -> Benchmark:
    return Benchmark(
        kind="thinsim bench",
        format=1,
        command="thinsim bench",
        environment={},
        rounds=len(loads),
        warm_up=0,
        contenders=["a"],
        sizes=["s"],
        series=[
            Series(
                row="run",
                unit="s",
                more_is_better=False,
                contender="a",
                sizes="s",
                figures=[1.0] * len(loads),
            )
        ],
        loads=[RoundLoad(round=number, load=load) for number, load in enumerate(loads, 1)],
    )


@pytest.mark.parametrize(
    ("seconds", "places"),
    [
        ([10, 10.2, 9.9, 10.1, 14], [4]),
        ([10, 10.2, 9.9, 10.1, 5], [4]),
        ([10, 11, 12, 13, 14, 15], []),
        ([10, 10, 10, 10, 10.5], []),  # the spread is 0, the difference is small
        ([10, 10, 10, 10, 12], [4]),
        ([10, 10, 14], []),  # three rounds have no usual time
        ([0, 0, 0, 0], []),
        ([], []),
    ],
)
def test_an_outlier_is_far_from_the_median_of_enough_rounds(seconds: list[float], places: list[int]) -> None:
    assert outlying(seconds) == places


def test_a_slow_round_is_named_with_the_load_that_the_others_lack() -> None:
    busy = replace(QUIET, seconds=14.1, others=0.5, cpu_pressure=0.38)
    assert disturbances(measured(QUIET, QUIET, busy, QUIET, QUIET)) == [
        "round 3 took 41 % more time: other programs kept the processors busy "
        "(waited for a processor 38 % of the time)"
    ]
    slow = replace(busy, io_pressure=0.6)
    (found,) = disturbances(measured(QUIET, QUIET, slow, QUIET, QUIET))
    assert found.endswith(
        "(waited for a processor 38 % of the time), and programs waited for a disk 60 % of the time"
    )


def test_a_slow_round_without_a_load_has_no_cause_and_a_fast_round_needs_none() -> None:
    slow, fast = replace(QUIET, seconds=20), replace(QUIET, seconds=5, others=0.9)
    assert disturbances(measured(QUIET, slow, QUIET, QUIET, fast)) == [
        "round 2 took 100 % more time: the load of the machine shows no cause",
        "round 5 took 50 % less time than the median round",
    ]


def test_a_load_of_most_rounds_is_named_once() -> None:
    stolen = replace(QUIET, steal=0.1)
    assert disturbances(measured(stolen, stolen, stolen)) == [
        "in most rounds, the hypervisor took 10 % of the processor time"
    ]
    assert disturbances(measured(stolen)) == ["in round 1, the hypervisor took 10 % of the processor time"]
    assert disturbances(measured(QUIET, QUIET)) == []


def test_only_a_load_that_the_other_document_lacks_disturbs_a_comparison() -> None:
    stolen = replace(QUIET, steal=0.1)
    assert disturbed_more(measured(stolen), measured(QUIET)) == [
        "the hypervisor took 10 % of the processor time"
    ]
    assert disturbed_more(measured(QUIET), measured(stolen)) == []
    assert disturbed_more(measured(stolen), measured(stolen)) == []
    old = measured(stolen).model_copy(update={"loads": []})
    assert disturbed_more(measured(stolen), old) == disturbed_more(old, measured(stolen)) == []
    assert disturbances(old) == []
