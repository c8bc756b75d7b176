"""The workflow for a hosted runner runs from its first step to its last in a project.

A comment in the workflow shows how to make its baseline. The action installs thinsim from a copy of this
repository, as the checkout of an action is.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.action_runner import ActionRun, run_action
from tests.docs.comments_server import CommentsServer, comments_server
from tests.docs.workflow_runner import run_job
from tests.repository import REPOSITORY

FILE = REPOSITORY / "examples" / "ci" / "storage.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text())
EXAMPLE = REPOSITORY / "examples" / "image-store"
SECONDS = 900

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(
        not os.environ.get("THINSIM_GUESTS"), reason="asks apt and pip, minutes: make documents-nightly"
    ),
]


def machine(directory: Path, programs: Path | None = None) -> dict[str, str]:
    """Return an environment without this clone, as on a runner, and with a sudo."""
    left_out = ("THINSIM_", "PYTHON", "VIRTUAL_ENV", "PYTEST", "MAKE", "MFLAGS", "GITHUB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    own = Path(sys.executable).parent
    path = [each for each in os.environ["PATH"].split(":") if each and Path(each) != own]
    tools = directory / "tools"
    tools.mkdir(exist_ok=True)
    if shutil.which("sudo") is None:
        (tools / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
        (tools / "sudo").chmod(0o755)
    path += [str(tools), *([str(programs)] if programs else [])]
    state = {"THINSIM_STATE_DIR": os.environ["THINSIM_STATE_DIR"], "TMPDIR": str(tools)}
    return {**kept, **state, "PATH": ":".join(path)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a clone of a project with a baseline, made as documented."""
    workspace = tmp_path / "project"
    shutil.copytree(EXAMPLE, workspace)
    (save,) = re.findall(r"sudo thinsim baseline save .*?\.json", FILE.read_text())
    subprocess.run(
        ["bash", "-c", save.replace("SCENARIO...", "container-exit image-removal")],
        cwd=workspace,
        env=machine(tmp_path, Path(sys.executable).parent),
        check=True,
        timeout=SECONDS,
    )
    return workspace


@pytest.fixture
def action(tmp_path: Path) -> Path:
    """Return the action in a copy of the repository's files."""
    listed = subprocess.run(
        ["git", "-C", REPOSITORY, "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        (tmp_path / "thinsim" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, tmp_path / "thinsim" / name)
    return tmp_path / "thinsim" / FILE.parent.relative_to(REPOSITORY)


@pytest.fixture
def api() -> Iterator[CommentsServer]:
    with comments_server() as server:
        yield server


def test_the_workflow_runs_from_its_first_step_to_its_last(
    project: Path, action: Path, api: CommentsServer, tmp_path: Path
) -> None:
    kept: list[str] = []
    runs: list[ActionRun] = []
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7}}))
    (tmp_path / "temporary").mkdir()
    runner = {
        **machine(tmp_path),
        "RUNNER_TEMP": str(tmp_path / "temporary"),
        "GITHUB_API_URL": api.address,
        "GITHUB_REPOSITORY": "owner/project",
        "GITHUB_EVENT_PATH": str(event),
    }

    def upload(words: Mapping[str, Any]) -> None:
        kept.extend(Path(name).name for name in words["path"].split() if Path(name).is_file())

    def act(words: Mapping[str, Any]) -> None:
        # Other users of the machine change its speed, so the test makes no claim about it.
        inputs = {**words, "no-speed": "true"}
        runs.append(run_action(action, inputs, project, runner, {"actions/upload-artifact": upload}))

    actions = {"actions/checkout": lambda _: None, "OWNER/thinsim/examples/ci": act}
    run_job(WORKFLOW, "space", project, runner, actions)
    (ran,) = runs
    print(*(f"{each.name}: {each.status}\n{each.said}" for each in ran.steps), ran.summary, sep="\n")
    assert {each.name: each.status for each in ran.steps if each.name != "Python"} == dict.fromkeys(
        ["Packages", "thinsim", "Compare", "Files", "Comment", "Verdict"], 0
    )
    assert ran.outputs["verdict"] == "passed"
    assert ran.summary.startswith("### thinsim")
    assert list(api.comments.values()) == [f"<!-- thinsim: thinsim -->\n{ran.summary}"]
    assert kept == ["thinsim.xml", "thinsim.md", "thinsim-now.json"]
