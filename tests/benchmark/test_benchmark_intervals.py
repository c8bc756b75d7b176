"""A confidence interval of a median agrees with published tables, and holds as often as it claims."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinsim.benchmark.intervals import Interval, median_interval


@pytest.mark.parametrize(
    ("count", "low", "high", "confidence"),
    [
        # Published order statistics of the two-sided 95 % sign-test interval. From six figures on, SciPy's
        # quantile_test(figures, p=0.5).confidence_interval(0.95) gives the same.
        (5, 1, 5, 0.9375),
        (6, 1, 6, 0.96875),
        (8, 1, 8, 0.9921875),
        (9, 2, 8, 0.9609375),
        (10, 2, 9, 0.978515625),
        (15, 4, 12, 0.96484375),
        (20, 6, 15, 0.9586105346679688),
    ],
)
def test_the_interval_is_that_of_the_tables(count: int, low: int, high: int, confidence: float) -> None:
    found = median_interval([float(number) for number in range(count, 0, -1)])
    assert (found.low, found.high) == (low, high)
    assert found.confidence == pytest.approx(confidence)


def test_an_interval_holds_as_often_as_it_claims() -> None:
    random.seed(7)
    tries = 2000
    held = 0
    for _ in range(tries):
        # The exponential distribution is skewed, as times are. Its median is ln 2.
        found = median_interval([random.expovariate(1.0) for _ in range(9)])
        held += found.low <= 0.6931471805599453 <= found.high
    assert held / tries == pytest.approx(0.9609375, abs=0.02)


def test_the_interval_of_a_ratio_of_two_medians_holds_at_least_as_often_as_it_claims() -> None:
    random.seed(11)
    tries, held = 2000, 0
    for _ in range(tries):
        # One is twice as slow as the other, so the ratio of the medians is 2.
        slow = median_interval([2 * random.expovariate(1.0) for _ in range(9)])
        found = slow.over(median_interval([random.expovariate(1.0) for _ in range(6)]))
        assert found is not None
        held += found.low <= 2 <= found.high
        assert found.confidence == pytest.approx(0.9609375 * 0.96875)
    assert held / tries >= 0.9609375 * 0.96875


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=40))
def test_the_median_is_within(figures: list[float]) -> None:
    found = median_interval(figures)
    assert found.low <= found.median <= found.high
    assert 0 <= found.confidence < 1


def test_a_ratio_holds_when_both_do_and_there_is_none_to_nothing() -> None:
    fast, slow = Interval(2, 1, 3, 0.9), Interval(4, 2, 5, 0.9)
    ratio = slow.over(fast)
    assert ratio is not None
    assert (ratio.median, ratio.low, ratio.high) == (2, pytest.approx(2 / 3), 5)
    assert ratio.confidence == pytest.approx(0.81)
    assert fast.over(Interval(0, 0, 0, 0.9)) is None


def test_no_figure_has_no_median() -> None:
    with pytest.raises(ValueError, match="no figures"):
        median_interval([])
