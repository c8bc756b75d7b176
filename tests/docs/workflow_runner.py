"""Runs the steps of a workflow's job here, in order, as a hosted runner does: those that have a ``run``.

What an action would do is given by the caller. A key that this does not know is refused, so that nothing of
a workflow is passed over unseen.
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
    """A step and its exit status; None if it was passed over since one before it had failed."""

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
    """Run the job *name* in *workspace*; return its steps, and the summary that they have written.

    *environment* is the machine's. *actions* are by name without version, and get their step's ``with``.
    TimeoutError if a step takes longer than the job may.
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
