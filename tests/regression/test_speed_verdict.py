"""The verdict on speed follows from the rounds' own differences, and may be that they differ too much."""

import math
import random
from collections.abc import Callable

import pytest

from tests.regression.stored import cost, costs
from thinsim.regression.baseline import DiscardCost
from thinsim.regression.costs import is_narrow
from thinsim.regression.speed import SpeedVerdict, compare_speed

TOLERANCE = 1.25


def verdict(now: list[DiscardCost], then: list[DiscardCost], tolerance: float = TOLERANCE) -> SpeedVerdict:
    return compare_speed(now, then, tolerance).verdict


def test_the_same_costs_are_no_slower() -> None:
    found = compare_speed(costs(), costs(), TOLERANCE)
    assert (found.verdict, found.decided) == (SpeedVerdict.SAME, True)
    assert found.low < 1 < found.high
    assert found.reason.startswith("discards cost 1.00 times as much (")


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.5, SpeedVerdict.SLOWER), (1 / 1.5, SpeedVerdict.FASTER), (1.1, SpeedVerdict.SAME)],
)
def test_a_clear_change_has_a_verdict_after_three_rounds(factor: float, expected: SpeedVerdict) -> None:
    assert verdict(costs(0.1 * factor, spread=0.03), costs(0.1, spread=0.03, seed=1)) == expected


def test_time_that_other_programs_had_the_processor_does_not_count() -> None:
    busy = [cost(0.1, seconds=0.4, delayed=0.3) for _ in range(3)]
    assert verdict(busy, costs()) == SpeedVerdict.SAME


def test_a_machine_with_a_slower_clock_is_no_regression() -> None:
    slow = [cost(0.1, seconds=0.18, processor=0.16, reference_processor=0.006) for _ in range(3)]
    assert verdict(slow, costs()) == SpeedVerdict.SAME


def test_a_slower_disk_excuses_as_much_longer_waits_and_no_more() -> None:
    slow = [cost(0.1, seconds=0.12, processor=0.08, reference_waited=0.002) for _ in range(3)]
    assert verdict(slow, costs()) == SpeedVerdict.SAME
    slower = [cost(0.1, seconds=0.20, processor=0.08, reference_waited=0.002) for _ in range(6)]
    assert verdict(slower, costs()) == SpeedVerdict.SLOWER


def test_a_flush_that_is_twice_as_long_excuses_no_waits() -> None:
    """Busy processors do that to a flush, and hardly anything to the waits of discards."""
    waits = [cost(0.1, seconds=0.16, processor=0.08, reference_waited=0.002) for _ in range(6)]
    assert verdict(waits, costs()) == SpeedVerdict.SLOWER
    busy_disk = [cost(0.1, seconds=0.16, processor=0.08, reference_waited=0.004) for _ in range(6)]
    assert verdict(busy_disk, costs()) == SpeedVerdict.SAME


def test_waits_count_from_a_larger_change_on_where_other_programs_keep_the_processors_busy() -> None:
    def waiting(seconds: float, delayed: float) -> list[DiscardCost]:
        return [cost(seconds=seconds + delayed, processor=0.08, delayed=delayed) for _ in range(6)]

    assert verdict(waiting(0.135, 0.0), costs()) == SpeedVerdict.SLOWER
    found = compare_speed(waiting(0.135, 0.1), costs(), TOLERANCE)
    assert found.verdict == SpeedVerdict.CANT_TELL
    assert "now other programs kept the processors busy for 43% of the discards' time" in found.reason
    assert verdict(waiting(0.155, 0.1), costs()) == SpeedVerdict.SLOWER


def test_waits_that_a_slow_disk_may_explain_give_no_verdict() -> None:
    """Most of the time was excused, so that what is left is doubtful."""
    slow = [cost(0.1, seconds=0.22, processor=0.08, reference_waited=0.005) for _ in range(6)]
    assert verdict(slow, costs()) in (SpeedVerdict.SAME, SpeedVerdict.CANT_TELL)


def test_rounds_that_differ_too_much_have_no_verdict_and_name_the_cause() -> None:
    wide = [cost(each, seconds=each * 3, delayed=each * 2) for each in (0.05, 0.13, 0.3)]
    found = compare_speed(wide, costs(), TOLERANCE)
    assert (found.verdict, found.decided) == (SpeedVerdict.CANT_TELL, False)
    assert (
        "the rounds differ too much for a verdict; now other programs kept the processors busy"
        in found.reason
    )


def test_discards_too_short_to_compare_are_not_compared() -> None:
    found = compare_speed(costs(0.001), costs(0.0005), TOLERANCE)
    assert found.verdict == SpeedVerdict.NOT_COMPARED
    assert found.reason == "too short to compare: 1.0 ms"


def test_a_kernel_without_the_scheduler_s_counters_is_named() -> None:
    unknown = [cost(0.1, processor=0, reference_processor=0) for _ in range(3)]
    assert "schedstat" in compare_speed(unknown, unknown, TOLERANCE).reason


def test_a_larger_tolerance_accepts_more() -> None:
    assert verdict(costs(0.17), costs(0.1), tolerance=2) == SpeedVerdict.SAME
    assert verdict(costs(0.25), costs(0.1), tolerance=2) == SpeedVerdict.SLOWER


def test_a_baseline_is_narrow_once_its_rounds_agree() -> None:
    assert is_narrow(costs(0.1, rounds=3, spread=0.01))
    assert not is_narrow([cost(0.05), cost(0.1), cost(0.2)])
    assert is_narrow(costs(0.001))


def judged(now: Callable[[], float], then: Callable[[], float]) -> SpeedVerdict:
    """Return the verdict as a command does: with more rounds as long as they could change it."""
    before = [cost(then()) for _ in range(5)]
    while not is_narrow(before) and len(before) < 12:
        before.append(cost(then()))
    rounds = [cost(now()) for _ in range(3)]
    while not compare_speed(rounds, before, TOLERANCE).decided and len(rounds) < 12:
        rounds.append(cost(now()))
    return compare_speed(rounds, before, TOLERANCE).verdict


@pytest.mark.parametrize("spread", [0.02, 0.08, 0.15, 0.2])
def test_verdicts_are_right_as_often_as_they_should_be(spread: float) -> None:
    """The spreads are those of a quiet machine, and of one whose processors are all in use."""
    chance = random.Random(round(spread * 1000))

    def about(seconds: float) -> Callable[[], float]:
        return lambda: seconds * math.exp(chance.gauss(0, spread))

    unchanged = [judged(about(0.1), about(0.1)) for _ in range(1000)]
    assert unchanged.count(SpeedVerdict.SLOWER) <= (10 if spread <= 0.15 else 20)
    slower = [judged(about(0.15), about(0.1)) for _ in range(1000)]
    assert slower.count(SpeedVerdict.SLOWER) >= (950 if spread <= 0.15 else 800)


def test_more_processor_time_is_found_though_the_waits_are_doubtful() -> None:
    busy = [cost(0.1, seconds=0.52, processor=0.15, delayed=0.3, reference_waited=0.004) for _ in range(6)]
    assert verdict(busy, costs()) == SpeedVerdict.SLOWER
