"""``thinsim ci`` finds a scenario and a variant again, however they are spelt or renamed."""

from pathlib import Path

import pytest

from tests.regression.gated_project import MORE, SCENARIO, GatedProject
from thinsim.cli.statuses import DONE, FAILED, LEAKED, NOT_COMPARED, WRONG_WORDS


@pytest.mark.parametrize("spelling", ["./a.toml", "../{0}/a.toml", "{1}/a.toml", "link.toml"])
def test_a_leak_is_found_however_the_scenario_is_spelt(project: GatedProject, spelling: str) -> None:
    (project.directory / "link.toml").symlink_to("a.toml")
    project.write("a.toml", MORE)
    named = spelling.format(project.directory.name, project.directory)
    assert project.ci(named) == LEAKED
    assert f"FAIL {named} on process: " in project.out
    assert "1 data block more (container: 1 data block more, " in project.out


def test_a_leak_is_found_in_a_project_that_was_moved(
    project: GatedProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.write("a.toml", MORE)
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    project.directory = moved
    monkeypatch.chdir(moved)
    assert project.ci() == LEAKED
    moved.rename(tmp_path)


def test_a_leak_is_found_in_a_file_that_was_renamed_and_in_a_renamed_variant(project: GatedProject) -> None:
    (project.directory / "a.toml").unlink()
    project.write("renamed.toml", MORE.replace('name = "off"', 'name = "out"').replace("TITLE", "a.toml"))
    assert project.ci("renamed.toml") == LEAKED
    assert "note: in the baseline, this scenario is a.toml" in project.out
    assert "note: out: in the baseline, the name of this variant is off" in project.out


def test_a_scenario_named_twice_in_two_spellings_is_refused(project: GatedProject) -> None:
    assert project.ci("a.toml", "./a.toml") == WRONG_WORDS
    assert "a.toml and ./a.toml: one scenario is named twice" in project.err


def test_new_scenarios_and_variants_fail_unless_allowed(project: GatedProject) -> None:
    project.write("new.toml", SCENARIO.replace('"2MiB"', '"1MiB"'))
    assert project.ci("new.toml") == NOT_COMPARED
    assert "new: the baseline does not have this scenario" in project.out
    assert project.cases["new.toml: in the baseline"] == "failure"
    assert project.ci("new.toml", "--allow-new") == DONE
    project.write(
        "a.toml",
        SCENARIO.replace(
            "[[phase]]", '[[variant]]\nname = "x"\nsnapshotter = { discard_committed = true }\n[[phase]]', 1
        ),
    )
    assert project.ci("a.toml") == NOT_COMPARED
    assert project.cases["a.toml: x: ran"] == "failure"


def test_a_variant_that_vanished_fails_unless_allowed(project: GatedProject) -> None:
    project.write("a.toml", SCENARIO.replace('[[variant]]\nname = "off"\n', ""))
    assert project.ci("a.toml") == NOT_COMPARED
    assert project.cases["a.toml: off: ran"] == "failure"
    assert project.ci("a.toml", "--allow-missing") == DONE
    assert project.cases["a.toml: off: ran"] == "skipped"


def test_a_scenario_that_vanished_fails_unless_allowed(project: GatedProject) -> None:
    (project.directory / "a.toml").unlink()
    assert project.ci() == FAILED
    assert (
        "a.toml does not exist, and the baseline has it; to accept that, use --allow-missing" in project.err
    )
    assert project.ci("./a.toml", "b.toml") == FAILED
    assert "./a.toml does not exist, and the baseline has it" in project.err
    assert project.ci("--allow-missing") == DONE
    assert "a.toml is missing, which is allowed" in project.out
    assert project.cases == {"a.toml: ran": "skipped"}


def test_a_path_that_leads_to_another_file_does_not_hide_the_scenario(project: GatedProject) -> None:
    project.write("other.toml", SCENARIO.replace('"2MiB"', '"1MiB"'))
    (project.directory / "a.toml").unlink()
    (project.directory / "a.toml").symlink_to("other.toml")
    assert project.ci("--allow-new") == FAILED
    assert "a.toml could not run: its path leads to another file than in the baseline" in project.err


def test_a_copy_of_a_scenario_that_is_still_there_is_new(project: GatedProject) -> None:
    (project.directory / "copy.toml").write_text((project.directory / "a.toml").read_text())
    assert project.ci("copy.toml") == NOT_COMPARED
    assert project.ci("copy.toml", "--update") == DONE
    assert sorted(project.stored) == ["a.toml", "b.toml", "copy.toml"]
