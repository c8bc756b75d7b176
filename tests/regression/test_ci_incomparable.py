"""``thinsim ci`` compares nothing with another rig or block size, and accepts what a tolerance allows."""

import json
from pathlib import Path

import pytest

from tests.regression.gated_project import MORE, SCENARIO, GatedProject
from thinsim.cli.main import status_of
from thinsim.cli.statuses import DONE, LEAKED, NOT_COMPARED, WRONG_WORDS


def test_the_rig_of_the_baseline_is_the_default_and_another_one_is_not_compared(
    project: GatedProject,
) -> None:
    stored = Path("b.json").read_text()
    Path("b.json").write_text(stored.replace('"rig": "process"', '"rig": "emulated"'))
    assert project.ci("--rig", "process") == NOT_COMPARED
    said = "incomparable: off: this run was on rig process, the baseline's on emulated: not compared"
    assert said in project.out
    assert "incomparable: on" not in project.out  # it leaked nothing then, which is the same on every rig
    assert project.cases["a.toml: off: leak"] == "failure"
    assert project.ci("--rig", "process", "--allow-incomparable") == DONE
    assert project.cases["a.toml: off: leak"] == "skipped"
    Path("b.json").write_text(stored)
    assert project.ci("--rig", "auto") == DONE
    assert "on process: " in project.out


def test_a_new_scenario_runs_on_the_rig_of_the_baseline(project: GatedProject) -> None:
    project.write("c.toml")
    words = ("ci", "--baseline", "b.json", "--no-speed", "--rounds", "1", "--most-rounds", "1", "c.toml")
    assert status_of([*words, "--allow-new"]) == DONE
    assert "c.toml on process" in project.capsys.readouterr().out


def test_other_data_blocks_than_the_baseline_s_are_not_compared(project: GatedProject) -> None:
    project.write("a.toml", SCENARIO.replace("[snapshotter]", 'block_size = "128KiB"\n[snapshotter]'))
    assert project.ci("a.toml") == NOT_COMPARED
    assert "data blocks of 128 KiB, in the baseline of 64 KiB: not compared" in project.out


def test_another_kernel_than_the_baseline_s_is_reported(project: GatedProject) -> None:
    document = json.loads(Path("b.json").read_text())
    kernel = document["scenarios"][0]["environment"]["kernel"]
    Path("b.json").write_text(json.dumps(document).replace(kernel, "Linux 1.0"))
    assert project.ci() == DONE
    said = f"environment: kernel: {kernel}, in the baseline Linux 1.0"
    assert project.out.count(said) == 1
    assert f"- {said}" in project.summary


def test_tolerances_of_one_scenario_and_in_percent_accept_a_leak(project: GatedProject) -> None:
    project.write("a.toml", MORE)
    project.write("b.toml", MORE)
    assert project.ci("--leak-tolerance", "64K") == DONE
    assert project.ci("--leak-tolerance", "./a.toml=64K") == LEAKED
    assert project.ci("a.toml", "--leak-tolerance", "a.toml=5%") == DONE
    assert project.ci("a.toml", "--leak-tolerance", "a.toml=1%") == LEAKED


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--leak-tolerance", "x", "'x'"),
        ("--leak-tolerance", "c.toml=1M", "scenario 'c.toml' does not exist; did you mean b.toml?"),
        ("--speed-tolerance", "nan", "nan"),
        ("--speed-tolerance", "0.5", "above 1"),
    ],
)
def test_a_tolerance_that_means_nothing_is_refused_before_the_work(
    project: GatedProject, option: str, value: str, says: str
) -> None:
    assert project.ci(option, value) == WRONG_WORDS
    assert f"Invalid value for {option}" in project.err
    assert says in project.err
    assert not Path("m.md").exists()


def test_one_scenario_in_two_spellings_cannot_have_two_tolerances(project: GatedProject) -> None:
    assert project.ci("--leak-tolerance", "a.toml=1M", "--leak-tolerance", "./a.toml=2M") == WRONG_WORDS
    assert "the scenario a.toml has a value already" in project.err
