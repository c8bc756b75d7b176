"""Every order of the plane's steps is explored on a model, and a race that is planted there is found."""

from dataclasses import fields

import pytest

from tests.fuse_backing.plane_model import TAKING, Protocol, explore
from tests.fuse_backing.provision_model import ProvisionOrder, explore_provisioning

RACES = [field.name for field in fields(Protocol)]


@pytest.mark.parametrize("takes", [False, True])
def test_no_order_of_the_steps_lets_a_reader_use_a_mapping_that_has_changed(takes: bool) -> None:
    states, wrong = explore(Protocol(), takes=takes)
    assert wrong == ""
    assert states > 1000


@pytest.mark.parametrize("race", [race for race in RACES if race not in TAKING])
def test_a_planted_race_is_found(race: str) -> None:
    _, wrong = explore(Protocol(**{race: True}))
    assert "the block is at" in wrong


@pytest.mark.parametrize("race", RACES)
def test_a_race_planted_in_readers_that_take_requests_is_found(race: str) -> None:
    _, wrong = explore(Protocol(**{race: True}), takes=True)
    assert "the block is at" in wrong


def test_no_order_of_the_steps_hides_a_write_that_provisioned_a_block() -> None:
    states, wrong = explore_provisioning(ProvisionOrder())
    assert wrong == ""
    assert states > 500


@pytest.mark.parametrize("race", [field.name for field in fields(ProvisionOrder)])
def test_a_race_planted_in_provisioning_is_found(race: str) -> None:
    _, wrong = explore_provisioning(ProvisionOrder(**{race: True}))
    assert "after the write was answered" in wrong
