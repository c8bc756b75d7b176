"""`run_job` runs the steps of a workflow's job on this machine, in order, as a hosted runner does.

The caller provides a function for each action. An unknown key is refused, so that no part of a workflow is
skipped silently.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.docs.own_session import run_in_session

_KNOWN = {"name", "uses", "with", "run", "if", "env"}
_JOB = {"runs-on", "timeout-minutes", "steps", "env"}
_MINUTES = 360

Action = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class StepRan:
    """`StepRan` is a step with its exit status, or None if it was skipped after a failed step."""

    name: str
    status: int | None
    said: str


def run_job(
    workflow: Mapping[Any, Any],
    name: str,
    workspace: Path,
    environment: Mapping[str, str],
    actions: Mapping[str, Action],
) -> tuple[list[StepRan], str]:
    """Run the job *name* in *workspace*; return its steps and the summary that they wrote.

    *environment* is that of the machine. *actions* has functions by the name of an action without version;
    each gets the ``with`` of its step. TimeoutError if a step takes longer than the limit of the job.
    """
    job = workflow["jobs"][name]
    _refuse(set(job) - _JOB, name)
    seconds = 60.0 * job.get("timeout-minutes", _MINUTES)
    files = workspace.parent / "runner"
    files.mkdir()
    ran: list[StepRan] = []
    failed = False
    for number, step in enumerate(job["steps"]):
        title = step.get("name", step.get("uses", str(number)))
        _refuse(set(step) - _KNOWN, title)
        condition = step.get("if", "success()")
        if condition not in ("success()", "always()"):
            raise ValueError(f"{title}: what is if: {condition}?")
        if failed and condition != "always()":
            ran.append(StepRan(title, None, ""))
            continue
        if "uses" in step:
            actions[step["uses"].partition("@")[0]](step.get("with", {}))
            ran.append(StepRan(title, 0, ""))
            continue
        script = files / f"{number}.sh"
        script.write_text(step["run"])
        variables = {
            **environment,
            **{
                key: str(value)
                for part in (workflow, job, step)
                for key, value in part.get("env", {}).items()
            },
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(workspace),
            "GITHUB_STEP_SUMMARY": str(files / f"{number}.summary"),
        }
        log = files / f"{number}.log"
        (files / f"{number}.summary").touch()
        with log.open("w") as said:
            # The default shell of a runner.
            status = run_in_session(["bash", "-e", str(script)], workspace, variables, said, seconds)
        text = log.read_text(errors="replace")
        if status is None:
            raise TimeoutError(f"{title}: did not end within {seconds:g} s: {text[-2000:]}")
        ran.append(StepRan(title, status, text))
        failed = failed or status != 0
    return ran, "".join(path.read_text() for path in sorted(files.glob("*.summary")))


def _refuse(unknown: set[str], where: str) -> None:
    if unknown:
        raise ValueError(f"{where}: what is {', '.join(sorted(unknown))}?")
