"""Tolerances are sizes, ratios or percent, for all scenarios or for one."""

from collections.abc import Callable

import pytest

from thinsim.errors import InvalidValueError
from thinsim.regression.tolerances import (
    LeakTolerance,
    Tolerances,
    by_scenario,
    parse_leak_tolerance,
    parse_speed_tolerance,
)

BLOCK = 65536


@pytest.mark.parametrize(("text", "ratio"), [("1.5", 1.5), ("50%", 1.5), ("2", 2.0), ("12.5%", 1.125)])
def test_a_speed_tolerance_is_a_ratio_or_percent(text: str, ratio: float) -> None:
    assert parse_speed_tolerance(text) == ratio


@pytest.mark.parametrize(
    ("text", "leaked", "blocks"), [("1M", 5, 16), ("100K", 5, 1), ("10%", 25, 2), ("0", 9, 0), ("150%", 2, 3)]
)
def test_a_leak_tolerance_is_whole_blocks_of_a_size_or_percent(text: str, leaked: int, blocks: int) -> None:
    assert parse_leak_tolerance(text).blocks(leaked, BLOCK) == blocks


@pytest.mark.parametrize("text", ["", "1", "0.9", "nan", "inf", "0%", "-5%", "x", "1.5x"])
def test_a_speed_tolerance_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_speed_tolerance(text)


@pytest.mark.parametrize("text", ["", "-1", "-5%", "nan%", "x%", "1Q"])
def test_a_leak_tolerance_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError):
        parse_leak_tolerance(text)


def test_a_value_with_a_scenario_is_for_that_scenario_alone() -> None:
    assert by_scenario(["1M", "a=b.toml=2M"]) == ("1M", {"a=b.toml": "2M"})
    tolerances = Tolerances(leak_of={"a": LeakTolerance(2, "percent")}, speed_of={"a": 3.0})
    assert tolerances.of("b").leak.amount == 0
    assert tolerances.of("renamed", "a").leak.text == "2 %"
    assert tolerances.of("a").speed == 3.0


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["1M", "2M"], "the default has the value 1M"),
        (["a=1", "a=2"], "a has the value 1"),
        (["=1"], "no scenario"),
    ],
)
def test_two_values_for_one_scenario_are_refused(texts: list[str], message: str) -> None:
    read: Callable[[list[str]], object] = by_scenario
    with pytest.raises(InvalidValueError, match=message):
        read(texts)
