"""The chances of verdicts agree with published tests, and a row among many needs a smaller one."""

import math
import random

import pytest

from thinsim.benchmark.significance import (
    CHANCE,
    LEAST_PAIRS,
    LEAST_ROUNDS_OF_EACH,
    can_decide_in_pairs,
    can_decide_separately,
    paired_chances,
    separate_chances,
)

DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Differences in height of Darwin's fifteen pairs of maize plants, in eighths of an inch."""


def test_the_chance_of_pairs_is_that_of_fishers_test_of_darwins_maize() -> None:
    # Fisher, The Design of Experiments, section 21: 1726 of the 32768 ways give a sum as great as 314.
    (found,) = paired_chances(
        [[float(each) for each in DARWIN]], least_effect=0, shuffles=1 << 14, far=math.inf
    )
    assert found == pytest.approx(1726 / 32768)


def test_the_chance_of_separate_rounds_is_the_part_of_the_choices_that_differ_as_much() -> None:
    first, second = [1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]
    assert separate_chances([(first, second)], least_effect=0) == [pytest.approx(2 / 252)]
    # 1, 2, 3, 4, 6 against 5, 7, 8, 9, 10: four of the 252 choices have a sum as far from the middle.
    assert separate_chances([([*first[:4], 6.0], [5.0, *second[1:]])], least_effect=0) == [
        pytest.approx(4 / 252)
    ]


def test_the_least_numbers_of_rounds_are_those_that_can_decide() -> None:
    assert [can_decide_in_pairs(LEAST_PAIRS - 1), can_decide_in_pairs(LEAST_PAIRS)] == [False, True]
    least = LEAST_ROUNDS_OF_EACH
    assert [can_decide_separately(least - 1, least - 1), can_decide_separately(least, least)] == [False, True]
    # One round of a document is no sample, however many the other has.
    assert not can_decide_separately(1, 100)
    for count in (LEAST_PAIRS - 1, LEAST_PAIRS):
        (found,) = paired_chances([[1.0] * count])
        assert (found <= CHANCE) == can_decide_in_pairs(count)
    for count in (least - 1, least):
        (found,) = separate_chances([([0.0] * count, [1.0] * count)])
        assert (found <= CHANCE) == can_decide_separately(count, count)


def test_rows_that_move_together_count_as_one() -> None:
    noise = random.Random(3)
    row = [0.3 + noise.gauss(0, 0.2) for _ in range(10)]
    (alone,) = paired_chances([row])
    assert paired_chances([row] * 50) == [alone] * 50
    many = [row, *([noise.gauss(0, 0.2) for _ in range(10)] for _ in range(49))]
    assert paired_chances(many)[0] > alone


def test_a_single_disturbed_round_does_not_hide_a_change() -> None:
    noise = random.Random(1)
    faster, slower = ([noise.gauss(0, 0.03) for _ in range(10)] for _ in range(2))
    slower = [each + math.log(1.3) for each in slower]
    for place in (0, 9):
        disturbed = [each + (3 if number == place else 0) for number, each in enumerate(faster)]
        pairs = [b - a for a, b in zip(disturbed, slower, strict=True)]
        assert paired_chances([pairs])[0] <= CHANCE
        assert separate_chances([(disturbed, slower)])[0] <= CHANCE


def test_no_rows_have_no_chances() -> None:
    assert paired_chances([]) == []
    assert separate_chances([]) == []
    assert separate_chances([([0.0] * 5, [0.0] * 5)]) == [1.0]
