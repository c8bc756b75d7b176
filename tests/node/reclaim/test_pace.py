"""A pace keeps pauses short: it learns the size of a discard, and rests between two pauses."""

import pytest

from thinsim.node.reclaim.pace import Pace

UNIT = 65536


def test_a_pause_has_time_until_its_limit_less_the_resume() -> None:
    pace = Pace(0.05, UNIT)
    assert pace.has_time(0.03, 0.02, 0.01)
    assert not pace.has_time(0.04, 0.02, 0.01)


def test_a_quarter_of_the_limit_is_for_discards_even_if_the_suspend_is_slow() -> None:
    pace = Pace(0.04, UNIT)
    assert pace.has_time(0.3, 0.009, 0.1)
    assert not pace.has_time(0.3, 0.01, 0.1)


def test_pieces_grow_while_they_are_quick_and_shrink_when_they_are_slow() -> None:
    pace = Pace(0.08, UNIT)
    first = pace.piece
    pace.learn_piece(first, 0.001)
    assert pace.piece == 2 * first
    pace.learn_piece(pace.piece, 0.015)
    assert pace.piece == 2 * first
    pace.learn_piece(pace.piece, 0.021)
    assert pace.piece == first
    pace.learn_piece(UNIT, 1.0)
    assert pace.piece == UNIT


def test_a_small_piece_that_was_quick_proves_nothing_about_a_large_one() -> None:
    pace = Pace(0.08, UNIT)
    first = pace.piece
    pace.learn_piece(UNIT, 0.0001)
    assert pace.piece == first


@pytest.mark.parametrize(
    ("paused", "freed", "share", "rate", "rest"),
    [
        (0.05, 1 << 20, 0.2, None, 0.2),
        (0.05, 1 << 20, 0.5, None, 0.05),
        (0.05, 1 << 20, 0.2, 1 << 20, 0.95),
        (0.05, 1 << 20, 0.2, 1 << 30, 0.2),
    ],
)
def test_a_rest_keeps_the_share_and_the_rate(
    paused: float, freed: int, share: float, rate: int | None, rest: float
) -> None:
    assert Pace(0.05, UNIT, share, rate).rest(paused, freed) == pytest.approx(rest)


def test_a_rate_bounds_each_pause_and_each_piece() -> None:
    pace = Pace(0.05, UNIT, rate=10 << 20)
    assert pace.most == pace.piece == 1 << 20
    pace.learn_piece(pace.piece, 0.0001)
    assert pace.piece == 1 << 20
    assert Pace(0.05, UNIT, rate=1000).most == UNIT
    assert Pace(0.05, UNIT).most > 1 << 60
