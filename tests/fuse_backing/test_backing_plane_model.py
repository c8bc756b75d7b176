"""Every order of the plane's steps is explored on a model, and a race that is planted there is found."""

from dataclasses import fields

import pytest

from tests.fuse_backing.plane_model import Protocol, explore


def test_no_order_of_the_steps_lets_a_reader_use_a_mapping_that_has_changed() -> None:
    states, wrong = explore(Protocol())
    assert wrong == ""
    assert states > 1000


@pytest.mark.parametrize("race", [field.name for field in fields(Protocol)])
def test_a_planted_race_is_found(race: str) -> None:
    _, wrong = explore(Protocol(**{race: True}))
    assert "the block is at" in wrong
