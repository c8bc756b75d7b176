"""``thinsim ci --update`` and ``thinsim baseline save`` write a baseline, and lose nothing stored."""

from pathlib import Path

import pytest

from tests.regression.gated_project import FAILING, MORE, SCENARIO, GatedProject
from thinsim.cli.statuses import DONE, FAILED, LEAKED, WRONG_WORDS


def test_a_baseline_with_an_assert_that_does_not_hold_is_not_taken_silently(project: GatedProject) -> None:
    project.write("a.toml", SCENARIO.replace("pool_used = 0", "pool_used = 1"))
    assert project.save("a.toml") == DONE
    assert "an assert does not hold, and is stored so: removed: pool_used = 1" in project.err


def test_a_baseline_is_not_stored_of_some_scenarios_alone(project: GatedProject) -> None:
    before = (project.directory / "b.json").read_text()
    project.write("a.toml", FAILING)
    assert project.save() == FAILED
    assert "a.toml could not run: " in project.err
    assert project.save("b.toml", "none.toml") == FAILED
    assert "none.toml: scenario file none.toml does not exist" in project.err
    assert (project.directory / "b.json").read_text() == before


def test_an_update_replaces_what_ran_and_keeps_the_rest(project: GatedProject) -> None:
    before = project.stored
    project.write("a.toml", MORE)
    assert project.ci("a.toml", "--update") == DONE
    assert "leak: off" in project.out
    assert "Updated b.json: 1 scenario\n" in project.err
    assert project.stored["b.toml"] == before["b.toml"]
    assert project.stored["a.toml"]["off"] == before["a.toml"]["off"] + 1
    assert project.ci() == DONE


def test_an_update_keeps_a_scenario_that_could_not_run(project: GatedProject) -> None:
    before = project.stored
    project.write("a.toml", FAILING)
    project.write("b.toml", MORE)
    assert project.ci("--update") == FAILED
    assert project.stored["a.toml"] == before["a.toml"]
    assert project.stored["b.toml"] != before["b.toml"]


def test_an_update_drops_what_is_missing_and_renames_what_was_renamed(project: GatedProject) -> None:
    (project.directory / "a.toml").rename(project.directory / "c.toml")
    assert project.ci("c.toml", "--update") == DONE
    assert list(project.stored) == ["b.toml", "c.toml"]
    (project.directory / "b.toml").unlink()
    assert project.ci("--update", "--allow-missing") == DONE
    assert list(project.stored) == ["c.toml"]


def test_the_new_results_are_a_baseline(project: GatedProject) -> None:
    project.write("a.toml", MORE)
    assert project.ci() == LEAKED
    Path("now.json").rename("b.json")
    assert project.ci() == DONE


def test_an_update_through_a_symbolic_link_renews_the_file_and_keeps_the_link(project: GatedProject) -> None:
    before = project.stored["a.toml"]["off"]
    kept = project.directory / "kept"
    kept.mkdir()
    for name in ("a.toml", "b.toml", "b.json"):
        (project.directory / name).rename(kept / name)
    (kept / "b.json").chmod(0o640)
    (project.directory / "b.json").symlink_to("kept/b.json")
    (kept / "a.toml").write_text(MORE)
    assert project.ci("kept/a.toml", "--update") == DONE
    assert (project.directory / "b.json").is_symlink()
    assert (kept / "b.json").stat().st_mode & 0o777 == 0o640
    assert project.stored["a.toml"]["off"] == before + 1


@pytest.mark.parametrize("option", ["--json", "--junit", "--markdown"])
@pytest.mark.parametrize("name", ["b.json", "./a.toml"])
def test_an_output_does_not_replace_what_the_gate_reads(
    project: GatedProject, option: str, name: str
) -> None:
    before = (project.directory / name).read_text()
    assert project.timed_ci("a.toml", option, name) == WRONG_WORDS
    assert f"{option} would replace" in project.err
    assert (project.directory / name).read_text() == before


def test_a_baseline_does_not_replace_its_scenario(project: GatedProject) -> None:
    before = (project.directory / "a.toml").read_text()
    assert project.save("a.toml", options=("-o", "a.toml")) == WRONG_WORDS
    assert (project.directory / "a.toml").read_text() == before
