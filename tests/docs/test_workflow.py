"""The workflow for a hosted runner needs the Makefile's packages, and its lines run unchanged."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repository import REPOSITORY
from thinsim import __version__
from thinsim.cli.main import status_of
from thinsim.cli.statuses import SLOWER

FILE = REPOSITORY / "examples" / "ci" / "storage.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text())
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["space"]["steps"]


def lines(name: str) -> str:
    """Return the commands of the step *name*."""
    (found,) = (step["run"] for step in STEPS if step.get("name") == name)
    return str(found)


def has_the_form_of_a_workflow(file: Path) -> bool:
    """Return whether *file* fits the public JSON schema of workflows, which comes with check-jsonschema."""
    words = ["check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(file)]
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def test_it_has_the_form_of_a_workflow(tmp_path: Path) -> None:
    assert has_the_form_of_a_workflow(FILE)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(FILE.read_text().replace("runs-on:", "run-on:"))
    assert not has_the_form_of_a_workflow(wrong)


def test_it_may_only_read_and_its_actions_run_on_node_24() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    used = dict(step["uses"].split("@v") for step in STEPS if "uses" in step)
    # These are the first versions for Node 24. Runners have no Node 20 any more.
    assert int(used["actions/checkout"]) >= 5
    assert int(used["actions/upload-artifact"]) >= 6


def test_each_step_runs_something_or_uses_an_action_of_a_version() -> None:
    assert WORKFLOW[True].keys() == {"push", "pull_request"}  # YAML 1.1 takes the key "on" for true
    assert re.fullmatch(r"ubuntu-\d\d\.04", WORKFLOW["jobs"]["space"]["runs-on"])
    for step in STEPS:
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "actions/checkout@v5"))
        done = subprocess.run(["bash", "-n", "-c", step.get("run", "")], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_its_packages_are_of_the_makefile_s_and_it_installs_this_version() -> None:
    makefile = re.search(r"^PACKAGES := (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert makefile is not None
    (installed,) = re.findall(r"--no-install-recommends (.*)$", lines("Packages"), re.MULTILINE)
    lacking = set(makefile[1].split()) - set(installed.split())
    assert set(installed.split()) <= set(makefile[1].split())
    # The runner has these two, and only tests need btrfs.
    assert lacking == {"btrfs-progs", "mount", "util-linux"}
    assert WORKFLOW["env"]["THINSIM"].endswith(f"thinsim-{__version__}.tar.gz")
    assert 'pip install --quiet "$THINSIM"' in lines("thinsim")


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    """Return a directory as on a runner: thinsim in .thinsim, a baseline beside the code, and a sudo."""
    (tmp_path / ".thinsim").mkdir()
    (tmp_path / ".thinsim" / "bin").symlink_to(Path(sys.executable).parent)
    if shutil.which("sudo") is None:
        (tmp_path / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
        (tmp_path / "sudo").chmod(0o755)
    baseline = tmp_path / "thinsim-baseline.json"
    assert status_of(["baseline", "save", "container-exit", "-o", str(baseline), "--rounds", "1"]) == 0
    return tmp_path


def run(text: str, where: Path) -> int:
    path = f"{os.environ['PATH']}:{where}"
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", text],
        cwd=where,
        env={**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": str(where / "summary")},
        check=False,
        timeout=300,
    ).returncode


@pytest.mark.rig
@pytest.mark.long
def test_its_lines_that_call_thinsim_run_as_they_are(runner: Path) -> None:
    (doctor,) = (line for line in lines("thinsim").splitlines() if "doctor" in line)
    assert run(doctor, runner) == 0
    # Other users of the machine change its speed, so the test makes no claim about it.
    assert run(lines("Regressions"), runner) in (0, SLOWER)
    assert run(lines("Summary"), runner) == 0
    assert (runner / "summary").read_text().startswith("### thinsim: ")
    (kept,) = (step["with"]["path"].split() for step in STEPS if "upload-artifact" in step.get("uses", ""))
    assert [name for name in kept if not (runner / name).exists()] == []
    # Root writes the files, and the runner's own user uploads them.
    assert [name for name in kept if not (runner / name).stat().st_mode & stat.S_IROTH] == []
