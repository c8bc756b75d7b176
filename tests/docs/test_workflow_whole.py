"""The workflow for a hosted runner runs from its first step to its last in a project.

``make check-dist`` builds the sdist of the project. A comment in the workflow shows how to make its baseline.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.workflow_runner import run_job
from tests.repository import REPOSITORY
from thinsim.cli.statuses import SLOWER

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
    """Return a clone of a project with thinsim's sdist and a baseline, both made as documented."""
    workspace = tmp_path / "project"
    shutil.copytree(EXAMPLE, workspace)
    subprocess.run(
        ["make", "-C", REPOSITORY, "check-dist"], check=True, timeout=SECONDS, env=machine(tmp_path)
    )
    sdist = workspace / WORKFLOW["env"]["THINSIM"]
    sdist.parent.mkdir()
    shutil.copy(REPOSITORY / "build" / "dist" / sdist.name, sdist)
    (save,) = re.findall(r"sudo thinsim baseline save .*?\.json", FILE.read_text())
    subprocess.run(
        ["bash", "-c", save.replace("SCENARIO...", "container-exit image-removal")],
        cwd=workspace,
        env=machine(tmp_path, Path(sys.executable).parent),
        check=True,
        timeout=SECONDS,
    )
    return workspace


def test_the_workflow_runs_from_its_first_step_to_its_last(project: Path, tmp_path: Path) -> None:
    kept: list[str] = []

    def upload(words: Mapping[str, Any]) -> None:
        assert words["if-no-files-found"] == "ignore"
        kept.extend(name for name in words["path"].split() if (project / name).is_file())

    actions = {"actions/checkout": lambda _: None, "actions/upload-artifact": upload}
    ran, summary = run_job(WORKFLOW, "space", project, machine(tmp_path), actions)
    print(*(f"{each.name}: {each.status}\n{each.said}" for each in ran), summary, sep="\n")
    # Other users of the machine change its speed, so the test makes no claim about it.
    bad = [each for each in ran if each.status not in ((0, SLOWER) if each.name == "Regressions" else (0,))]
    assert bad == []
    assert summary.startswith("### thinsim: ")
    assert kept == ["thinsim.xml", "thinsim-now.json"]
    assert (project / ".thinsim" / "bin" / "thinsim").is_file()
