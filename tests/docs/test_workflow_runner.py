"""The workflow runner runs or skips steps as a hosted runner does."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.docs.workflow_runner import StepRan, run_job


def run(
    steps: Sequence[Mapping[str, Any]], tmp_path: Path, used: list[Any] | None = None
) -> tuple[list[StepRan], str]:
    def take(words: Mapping[str, Any]) -> None:
        if used is not None:
            used.append(words)

    (tmp_path / "work").mkdir()
    workflow = {"env": {"OF": "workflow", "AND": 1}, "jobs": {"one": {"runs-on": "any", "steps": steps}}}
    return run_job(workflow, "one", tmp_path / "work", os.environ, {"a/b": take})


def test_a_step_that_fails_passes_over_the_others_but_for_those_that_run_always(tmp_path: Path) -> None:
    used: list[Any] = []
    steps: list[dict[str, Any]] = [
        {"name": "first", "run": "touch first"},
        {"name": "fails", "run": "echo before\nfalse\necho after"},
        {"name": "next", "run": "touch next"},
        {"name": "always", "if": "always()", "run": "ls"},
        {"uses": "a/b@v1", "with": {"not": "used"}},
        {"uses": "a/b@v1", "if": "always()", "with": {"is": "used"}},
    ]
    ran, _ = run(steps, tmp_path, used)
    assert [each.status for each in ran] == [0, 1, None, 0, None, 0]
    assert (ran[1].said, ran[3].said) == ("before\n", "first\n")
    assert used == [{"is": "used"}]


def test_a_step_has_the_environment_of_workflow_and_step_and_a_summary(tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [
        {"run": 'echo "$OF $AND $CI" >> "$GITHUB_STEP_SUMMARY"', "env": {"OF": "step"}},
        {"run": 'echo "$OF" >> "$GITHUB_STEP_SUMMARY"; test "$PWD" = "$GITHUB_WORKSPACE"'},
    ]
    ran, summary = run(steps, tmp_path)
    assert [each.status for each in ran] == [0, 0]
    assert summary == "step 1 true\nworkflow\n"


@pytest.mark.parametrize("step", [{"run": "true", "shell": "sh"}, {"run": "true", "if": "failure()"}])
def test_what_it_does_not_know_it_refuses(step: Mapping[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"what is (shell|if: failure\(\))\?"):
        run([step], tmp_path)
