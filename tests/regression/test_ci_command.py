"""``thinsim ci`` on real runs: its verdicts, its outputs, and what an interruption leaves."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command_lines import interrupted
from tests.regression.gated_project import FAILING, MORE, SCENARIO, GatedProject
from thinsim.cli.statuses import BROKEN, DONE, FAILED, INTERRUPTED, NOT_COMPARED, WRONG_WORDS


def test_the_same_code_again_is_no_regression(project: GatedProject) -> None:
    assert project.ci() == DONE
    assert "ok   a.toml on process: off leaks 2.2 MiB, on leaks 0 B\n" in project.out
    assert project.summary.startswith("### thinsim: no regression\n")
    assert project.cases == {}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.write_text("title = ["), "a.toml"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "a.toml"),
        (lambda path: path.write_text(FAILING), "snapshot 'gone' does not exist"),
        (lambda path: path.write_text(SCENARIO.replace("TITLE", "")), "title"),
    ],
)
def test_one_bad_file_is_one_error_and_the_others_are_compared(
    project: GatedProject, fault: Callable[[Path], object], says: str
) -> None:
    fault(project.directory / "a.toml")
    project.write("b.toml", MORE)
    assert project.ci() == FAILED
    assert says in project.err
    assert "FAIL a.toml could not run: " in project.out
    assert "FAIL b.toml on process: " in project.out
    assert project.cases == {"a.toml: ran": "error", "b.toml: off: leak": "failure"}
    assert project.summary.startswith("### thinsim: 1 could not run, 1 regression\n")
    assert "| a.toml |  |  |  |  |  | error |" in project.summary
    assert [each["key"] for each in json.loads(Path("now.json").read_text())["scenarios"]] == ["b.toml"]


def test_a_bad_file_named_on_the_command_line_is_one_error_as_well(project: GatedProject) -> None:
    assert project.ci("b.toml", "none.toml", "chrun") == FAILED
    assert project.cases == {"none.toml: ran": "error", "chrun: ran": "error"}
    assert "did you mean churn?" in project.out


def test_an_assert_that_no_longer_holds_is_caught(project: GatedProject) -> None:
    project.write("a.toml", SCENARIO.replace("pool_used = 0", "pool_used = 1"))
    assert project.ci("a.toml") == BROKEN
    assert "fails now, held before: removed: pool_used = 1; found 0" in project.out
    assert "the scenario's file has changed since" in project.out


def test_a_baseline_that_does_not_exist_is_a_wrong_command_line(project: GatedProject) -> None:
    (project.directory / "b.json").unlink()
    assert project.ci() == WRONG_WORDS
    assert "thinsim baseline save SCENARIO... -o b.json" in project.err


def test_quiet_prints_results_and_no_progress(project: GatedProject) -> None:
    assert project.ci("--quiet") == DONE
    assert project.err == ""
    assert project.out.count("ok   ") == 2


def test_a_log_has_one_line_per_round_and_scenario(project: GatedProject) -> None:
    assert project.ci() == DONE
    assert [line for line in project.err.splitlines() if line.startswith("round")] == [
        "round 1 of 1: a.toml",
        "round 1 of 1: b.toml",
    ]
    assert "[1/2]" not in project.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_comparison_keeps_the_complete_rounds(
    project: GatedProject, number: signal.Signals
) -> None:
    words = (
        "ci",
        "--baseline",
        "b.json",
        "--rig",
        "process",
        "--rounds",
        "50",
        "--markdown",
        "m.md",
        "--junit",
        "j.xml",
    )
    done = interrupted(*words, at="round 2 of 50: b.toml", number=number)
    assert done.returncode == INTERRUPTED
    assert "a.toml on process: off leaks 2.2 MiB, on leaks 0 B" in done.stdout
    assert "b.toml on process: " in done.stdout
    assert project.summary.startswith("### thinsim: interrupted, incomplete")
    assert project.cases == {"thinsim ci: ran": "error"}


def test_a_gate_that_compares_nothing_does_not_pass(project: GatedProject) -> None:
    (project.directory / "a.toml").unlink()
    (project.directory / "b.toml").unlink()
    assert project.ci("--allow-missing") == NOT_COMPARED
    assert "nothing was compared" in project.err
    assert "nothing was compared" in project.summary
    assert project.cases == {"thinsim ci: ran": "error"}
