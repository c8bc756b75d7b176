"""The goals of the data plane are compared with the ratios of the turns."""

from collections.abc import Mapping

import pytest

from benchmarks.thin_contenders import BARE, BARE_ON_STORE, NO_FILE, PLAIN, QCOW2, THIN
from benchmarks.thin_goals import GOALS, results
from benchmarks.thin_rows import FSYNC, RANDOM_READ, READ_LIMIT


def measured(row: str, figures: Mapping[str, list[float | None]]) -> list[dict[str, object]]:
    return [{"row": row, "contender": name, "rounds": each} for name, each in figures.items()]


@pytest.mark.parametrize(
    ("mine", "verdict"),
    [
        ([8, 9, 9, 9, 9, 8], "yes"),
        ([5, 9, 9, 9, 9, 9], "yes?"),
        ([9, 5, 5, 5, 5, 5], "no?"),
        ([5, 5, 6, 6, 7, 7], "no"),
        ([8, None, 8, 8, 8, 8], "yes"),
    ],
)
def test_a_goal_is_reached_by_the_median_ratio(mine: list[float | None], verdict: str) -> None:
    found = results(measured(RANDOM_READ.name, {PLAIN: [10.0] * len(mine), THIN: mine}))
    (result,) = (each for each in found if each.ratio is not None)
    assert (result.goal.row, result.goal.reference, result.goal.least) == (RANDOM_READ, PLAIN, 0.75)
    assert result.verdict == verdict
    assert result.missed == verdict.startswith("no")


def test_a_goal_beside_qcow2_compares_with_qcow2() -> None:
    found = results(measured(FSYNC.name, {PLAIN: [10.0], THIN: [9.0], QCOW2: [18.0]}))
    assert [(each.goal.reference, each.missed) for each in found if each.ratio] == [
        (PLAIN, False),
        (QCOW2, True),
    ]


@pytest.mark.parametrize(("bare", "out_of_reach"), [([7.0], True), ([9.0], False), ([None], False)])
def test_a_missed_goal_is_out_of_reach_if_the_bare_server_misses_it(
    bare: list[float | None], out_of_reach: bool
) -> None:
    found = results(measured(FSYNC.name, {PLAIN: [10.0], THIN: [6.0], BARE: bare}))
    (result,) = (each for each in found if each.ratio is not None)
    assert result.missed
    assert result.out_of_reach is out_of_reach


def test_the_slower_bare_server_is_the_limit_of_a_device_on_the_store() -> None:
    figures: dict[str, list[float | None]] = {PLAIN: [10.0], THIN: [6.0], BARE: [9.0], BARE_ON_STORE: [7.0]}
    (result,) = (each for each in results(measured(FSYNC.name, figures)) if each.ratio is not None)
    assert result.limit is not None
    assert result.limit.median == 0.7
    assert result.out_of_reach


@pytest.mark.parametrize(("rate", "out_of_reach"), [(19.0, True), (21.0, False)])
def test_random_reads_are_out_of_reach_if_even_a_server_without_cost_misses_the_goal(
    rate: float, out_of_reach: bool
) -> None:
    found = results(
        measured(RANDOM_READ.name, {PLAIN: [10.0], NO_FILE: [3.0], BARE: [6.0], BARE_ON_STORE: [1.0]})
        + measured(READ_LIMIT.name, {PLAIN: [40.0], NO_FILE: [rate]})
    )
    (result,) = (each for each in found if each.goal.contender == NO_FILE and each.ratio is not None)
    assert (result.goal.least, result.missed) == (0.5, True)
    assert result.out_of_reach is out_of_reach


def test_a_goal_without_figures_has_no_verdict() -> None:
    assert {each.verdict for each in results([])} == {"-"}
    assert len(results([])) == len(GOALS)
