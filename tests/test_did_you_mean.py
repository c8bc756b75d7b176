"""An unknown name is reported with the nearest known name, or with all of them."""

import pytest

from thinsim.did_you_mean import did_you_mean, unknown_name


def test_the_nearest_name_is_suggested_and_a_distant_one_is_not() -> None:
    assert did_you_mean("chrun", ["churn", "xfs"]) == "; did you mean churn?"
    assert did_you_mean("moon", ["churn", "xfs"]) == ""


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("emulate", ["kernel", "emulated"], "rig 'emulate' does not exist; did you mean emulated?"),
        ("moon", ["kernel", "emulated"], "rig 'moon' does not exist; there are: kernel, emulated"),
        ("moon", ["full, 4K", "full, 64K"], "rig 'moon' does not exist; there are: full, 4K; full, 64K"),
        ("moon", ["kernel", "kernel"], "rig 'moon' does not exist; there are: kernel"),
        ("moon", [], "rig 'moon' does not exist; there are: none"),
    ],
)
def test_the_message_about_an_unknown_name_lists_the_valid_ones(
    name: str, known: list[str], message: str
) -> None:
    assert unknown_name("rig", name, known) == message
