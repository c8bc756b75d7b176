"""`run_action` runs the steps of a composite action on this machine, in order, as a hosted runner does.

It knows the expressions that the action of thinsim has, and refuses others. The caller provides a function
for each action that a step uses.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import yaml

from tests.docs.own_session import run_in_session
from tests.docs.workflow_runner import Action, StepRan

_KNOWN = {"name", "id", "if", "shell", "env", "run", "uses", "with"}
_EXPRESSION = re.compile(r"\$\{\{ ([^}]*) \}\}")
_CONDITION = re.compile(r"(inputs\.[\w-]+) (==|!=) '([^']*)'")
_SECONDS = 900.0


class ActionRun:
    """An `ActionRun` has the *steps* that ran, the *outputs* of the action and the *summary* of the job."""

    def __init__(self, steps: list[StepRan], outputs: dict[str, str], summary: str) -> None:
        self.steps = steps
        self.outputs = outputs
        self.summary = summary

    @property
    def status(self) -> int:
        """Return the status of the last step that ran."""
        return next(step.status for step in reversed(self.steps) if step.status is not None)

    def said(self, name: str) -> str:
        """Return what the step *name* printed."""
        (found,) = (step.said for step in self.steps if step.name == name)
        return found


def run_action(
    place: Path,
    inputs: Mapping[str, str],
    workspace: Path,
    environment: Mapping[str, str],
    actions: Mapping[str, Action],
    *,
    passed_over: Collection[str] = (),
) -> ActionRun:
    """Run the action in the directory *place* with *inputs*, except for the steps *passed_over*.

    *environment* is that of the runner, with RUNNER_TEMP. Steps after a failed one are skipped.
    """
    action = yaml.safe_load((place / "action.yml").read_text())
    unknown = inputs.keys() - action["inputs"].keys()
    assert not unknown, f"the action has no input {unknown}"
    given = {f"inputs.{name}": each.get("default", "") for name, each in action["inputs"].items()}
    values = given | {f"inputs.{name}": value for name, value in inputs.items()} | {"github.token": "a-token"}
    values = {name: _filled(value, values) for name, value in values.items()}
    files = Path(environment["RUNNER_TEMP"]) / "runner"
    files.mkdir(exist_ok=True)
    summary, ran, failed = files / "summary", [], False
    summary.touch()
    for number, step in enumerate(action["runs"]["steps"]):
        assert step.keys() <= _KNOWN, step
        name = step["name"]
        if failed or name in passed_over or not _holds(step.get("if"), values):
            ran.append(StepRan(name, None, ""))
            continue
        if "uses" in step:
            words = {key: _filled(value, values) for key, value in step["with"].items()}
            actions[step["uses"].partition("@")[0]](words)
            ran.append(StepRan(name, 0, ""))
            continue
        assert step["shell"] == "bash"
        script, output, log = (files / f"{number}.{suffix}" for suffix in ("sh", "output", "log"))
        script.write_text(step["run"])
        output.touch()
        variables = {
            **environment,
            **{key: _filled(value, values) for key, value in step.get("env", {}).items()},
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(place),
            "GITHUB_WORKSPACE": str(workspace),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
        }
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        with log.open("w") as said:
            status = run_in_session(shell, workspace, variables, said, _SECONDS)
        if status is None:
            raise TimeoutError(f"{name}: did not end within {_SECONDS:g} s: {log.read_text()[-2000:]}")
        ran.append(StepRan(name, status, log.read_text(errors="replace")))
        failed = failed or status != 0
        for line in output.read_text().splitlines():
            key, _, value = line.partition("=")
            values[f"steps.{step['id']}.outputs.{key}"] = value
    outputs = {name: _filled(each["value"], values) for name, each in action["outputs"].items()}
    return ActionRun(ran, outputs, summary.read_text())


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Return *text* with its expressions replaced; an output that no step has written is empty."""
    return _EXPRESSION.sub(
        lambda found: values.get(found[1], "") if found[1].startswith("steps.") else values[found[1]], text
    )


def _holds(condition: str | None, values: Mapping[str, str]) -> bool:
    if condition is None:
        return True
    parts = _CONDITION.fullmatch(condition)
    if parts is None:
        raise ValueError(f"unknown condition: {condition}")
    return (values[parts[1]] == parts[3]) is (parts[2] == "==")
