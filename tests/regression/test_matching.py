"""Scenarios and variants are paired with those of the baseline, however they are spelt or named."""

from pathlib import PurePosixPath

import pytest

from tests.regression.stored import scenario, variant
from thinsim.regression.baseline import scenario_key
from thinsim.regression.matching import match_scenarios, match_variants

LIBRARY = PurePosixPath("/lib/scenarios")


@pytest.mark.parametrize(
    ("path", "directory", "key"),
    [
        ("/p/my.toml", "/p", "my.toml"),
        ("/p/space/my.toml", "/p", "space/my.toml"),
        ("/p/my.toml", "/p/ci", "../my.toml"),
        ("/lib/scenarios/churn.toml", "/p", "library:churn"),
    ],
)
def test_the_key_is_the_path_from_the_baseline_or_the_name_in_the_library(
    path: str, directory: str, key: str
) -> None:
    assert scenario_key(PurePosixPath(path), PurePosixPath(directory), LIBRARY) == key


def test_scenarios_with_one_key_are_the_same_whatever_their_names_and_contents() -> None:
    then = scenario(variant(), name="/abs/s.toml", sha256="1", title="before")
    matched, rest = match_scenarios([scenario(variant())], [then])
    assert (matched, rest) == ([then], [])


def test_a_moved_file_is_known_by_its_content_and_a_changed_one_by_its_title() -> None:
    by_content, by_title = scenario(variant(), key="a", sha256="1"), scenario(variant(), key="b", title="b")
    now = [scenario(variant(), key="y", sha256="9", title="b"), scenario(variant(), key="x", sha256="1")]
    assert match_scenarios(now, [by_content, by_title]) == ([by_title, by_content], [])


def test_a_scenario_of_another_key_content_and_title_is_new() -> None:
    then = scenario(variant(), key="a", sha256="1", title="a")
    assert match_scenarios([scenario(variant(), key="b", sha256="2", title="b")], [then]) == ([None], [then])


def test_a_key_goes_before_a_content_that_another_scenario_has() -> None:
    """Of two copies of one file, each keeps its own baseline."""
    one, other = scenario(variant(), key="a", sha256="1"), scenario(variant(), key="b", sha256="1")
    assert match_scenarios([other, one], [one, other]) == ([other, one], [])


def test_a_scenario_whose_file_still_exists_is_known_by_its_key_alone() -> None:
    then = scenario(variant(), key="a", sha256="1", title="a")
    now = [scenario(variant(), key="copy", sha256="1", title="a")]
    assert match_scenarios(now, [then], {"a"}) == ([None], [then])
    assert match_scenarios([then], [then], {"a"}) == ([then], [])


def test_a_renamed_variant_is_known_by_its_settings() -> None:
    on, off = variant(name="on", settings="1"), variant(name="off", settings="2")
    now = [variant(name="discard", settings="1"), variant(name="off", settings="2")]
    assert match_variants(now, [on, off]) == ([on, off], [])


def test_a_renamed_variant_whose_settings_several_have_is_new() -> None:
    now = [variant(name="a"), variant(name="b")]
    then = [variant(name="c"), variant(name="d")]
    assert match_variants(now, then) == ([None, None], then)
