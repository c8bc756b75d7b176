"""The line of times has no empty parentheses, and shows short times in a unit that fits."""

import pytest

from thinsim.report.phase_table import times


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        ({}, "Time: 0 ms"),
        ({"measuring": 0.004, "stand-up": 0.008}, "Time: 12 ms"),
        ({"measuring": 0.04, "stand-up": 0.4}, "Time: 0.4 s (set-up 0.4)"),
        ({"measuring": 0.96}, "Time: 1 s (measuring 1.0)"),
        ({"measuring": 1.25, "tear-down": 61.0}, "Time: 62 s (clean-up 61.0, measuring 1.2)"),
    ],
)
def test_the_time_of_a_run_is_in_words(seconds: dict[str, float], line: str) -> None:
    assert times(seconds) == line
