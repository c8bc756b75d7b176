"""``thinsim baseline save`` and ``thinsim ci`` on real runs of a scenario that stays, or changes."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from thinsim.cli.main import commands, status_of
from thinsim.cli.statuses import BROKEN
from thinsim.errors import CombinedError

SCENARIO = """
title = "a container exits"
[pool]
data_size = "64MiB"
[snapshotter]
discard_blocks = true
[[phase]]
name = "ran"
steps = [{ do = "prepare", key = "container" }, { do = "write", key = "container", size = "8MiB" }]
[[phase]]
name = "removed"
steps = [{ do = "remove", key = "container" }, { do = "assert", pool_used = 0 }]
"""

Invoke = Callable[..., int]


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "exit.toml"
    file.write_text(SCENARIO)
    return file


@pytest.fixture
def invoke(scenario: Path, tmp_path: Path) -> Invoke:
    common = ["--rig", "process", "--rounds", "2", "--dir", str(tmp_path)]

    def call(*words: str | Path) -> int:
        status = commands.main([*map(str, words), *common], standalone_mode=False)
        return status if isinstance(status, int) else 0

    return call


def test_the_same_code_again_is_no_regression(
    invoke: Invoke, scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke("baseline", "save", scenario, "-o", tmp_path / "b.json") == 0
    assert invoke("ci", "--baseline", tmp_path / "b.json", "--speed-tolerance", "100") == 0
    assert "as it is leaks 0" in capsys.readouterr().out


def test_an_assert_that_no_longer_holds_is_caught(
    invoke: Invoke, scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke("baseline", "save", scenario, "-o", tmp_path / "b.json")
    scenario.write_text(SCENARIO.replace("pool_used = 0", "pool_used = 1"))
    assert invoke("ci", "--baseline", tmp_path / "b.json", "--speed-tolerance", "100") == BROKEN
    said = capsys.readouterr().out
    assert "fails now, held before: removed: pool_used = 1" in said
    assert "the scenario's file has changed since" in said


def test_a_baseline_with_an_assert_that_does_not_hold_is_not_taken_silently(
    invoke: Invoke, scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.write_text(SCENARIO.replace("pool_used = 0", "pool_used = 1"))
    assert invoke("baseline", "save", scenario, "-o", tmp_path / "b.json") == 0
    assert "an assert does not hold, and is stored so: removed: pool_used = 1" in capsys.readouterr().err


def test_another_kernel_than_the_baseline_s_is_reported(
    invoke: Invoke, scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored, summary = tmp_path / "b.json", tmp_path / "s.md"
    invoke("baseline", "save", scenario, "-o", stored)
    kernel = json.loads(stored.read_text())["environment"]["kernel"]
    stored.write_text(stored.read_text().replace(kernel, "Linux 1.0"))
    assert invoke("ci", "--baseline", stored, "--speed-tolerance", "100", "--markdown", summary) == 0
    said = f"environment: kernel: {kernel}, in the baseline Linux 1.0"
    assert said in capsys.readouterr().out
    assert f"- {said}" in summary.read_text()


def test_a_scenario_that_can_not_run_to_its_end_is_an_error_on_the_page_of_the_job(
    invoke: Invoke, scenario: Path, tmp_path: Path
) -> None:
    stored, summary, cases = tmp_path / "b.json", tmp_path / "s.md", tmp_path / "junit.xml"
    invoke("baseline", "save", scenario, "-o", stored)
    scenario.write_text(SCENARIO.replace('"remove", key = "container"', '"remove", key = "gone"'))
    with pytest.raises(CombinedError, match="phase 'removed': remove gone: snapshot 'gone' does not exist"):
        invoke("ci", "--baseline", stored, "--markdown", summary, "--junit", cases)
    assert "### thinsim: nothing was compared" in summary.read_text()
    assert "remove gone: snapshot 'gone' does not exist" in summary.read_text()
    (suite,) = ElementTree.parse(cases).getroot()
    assert (suite.get("name"), suite.get("errors"), suite.get("failures")) == (str(scenario), "1", "0")
    (error,) = suite.iter("error")
    assert "remove gone" in error.get("message", "")


def test_a_scenario_that_can_not_run_does_not_keep_the_others_from_it(
    invoke: Invoke, scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(SCENARIO)
    stored, summary, cases, now = (tmp_path / name for name in ("b.json", "s.md", "junit.xml", "now.json"))
    invoke("baseline", "save", scenario, other, "-o", stored)
    capsys.readouterr()
    scenario.write_text(SCENARIO.replace('"remove", key = "container"', '"remove", key = "gone"'))
    with pytest.raises(CombinedError, match=r"exit\.toml could not run: .*remove gone"):
        invoke(
            *("ci", "--baseline", stored, "--speed-tolerance", "100"),
            *("--markdown", summary, "--junit", cases, "--json", now),
        )
    out, err = capsys.readouterr()
    assert f"ok   {other} on process: as it is leaks 0\n" in out
    assert f"FAIL {scenario} could not run: " in out
    assert err.count(f"of 2: {scenario}\n") == 1
    assert "### thinsim: 1 could not run\n" in summary.read_text()
    assert f"| {other} | as it is | process |" in summary.read_text()
    assert f"- **error**: {scenario}: " in summary.read_text()
    suites = ElementTree.parse(cases).getroot()
    counts = [(each.get("name"), each.get("errors"), each.get("failures")) for each in suites]
    assert counts == [(str(other), "0", "0"), (str(scenario), "1", "0")]
    assert [each["name"] for each in json.loads(now.read_text())["scenarios"]] == [str(other)]


def test_a_baseline_is_not_stored_of_some_scenarios_alone(
    invoke: Invoke, scenario: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(SCENARIO.replace('"remove", key = "container"', '"remove", key = "gone"'))
    with pytest.raises(CombinedError, match=r"other\.toml could not run: .*remove gone"):
        invoke("baseline", "save", scenario, other, "-o", tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("wrong", [["--speed-tolerance", "nan"], ["--junit", "-"]])
def test_an_option_without_effect_is_refused_before_the_work(
    tmp_path: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(["ci", "--baseline", str(tmp_path / "none.json"), *wrong]) == 2
    assert wrong[0] in capsys.readouterr().err
    assert not Path("-").exists()
