"""The time that is left is the sum of what each planned run took before."""

import pytest

from thinsim.benchmark.time_left import TimeLeft, duration


def test_the_rest_of_a_benchmark_takes_what_its_runs_took_before() -> None:
    fast, slow = ("a", "small"), ("b", "small")
    left = TimeLeft([fast, slow] * 3)
    assert [left.runs, left.text, left.forecast] == [6, "", ""]
    left.add(5)
    assert left.seconds is None  # the other contender may take hours
    left.add(11)
    assert left.seconds == 2 * 16
    assert left.forecast == "4 runs of about 8 s each: 32 s left"
    left.add(7)
    left.add(11)
    assert left.seconds == pytest.approx(6 + 11)
    left.add(6)
    assert left.forecast == "1 run of about 11 s: 11 s left"
    left.add(11)
    assert (left.runs, left.text, left.forecast) == (0, "", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.01, "0.1 s"),
        (0.44, "0.4 s"),
        (9.4, "9 s"),
        (59.6, "1 min"),
        (110, "1 min 50 s"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_duration_has_the_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
