"""The action compares, summarises, comments once and ends with the verdict; its shell is safe."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.action_runner import ActionRun, run_action
from tests.docs.comments_server import CommentsServer, comments_server
from tests.repository import REPOSITORY
from thinsim.cli.main import status_of

PLACE = REPOSITORY / "examples" / "ci"
ACTION: dict[str, Any] = yaml.safe_load((PLACE / "action.yml").read_text())
RUNS = {step["name"]: step["run"] for step in ACTION["runs"]["steps"] if "run" in step}
INSTALLED = ("Packages", "thinsim")
"""The steps that apt and pip need minutes for; ``make documents-nightly`` runs them."""
MARKER = "<!-- thinsim: thinsim -->\n"


def test_no_input_becomes_a_part_of_a_script() -> None:
    assert [name for name, script in RUNS.items() if "${{" in script] == []


@pytest.mark.parametrize("name", RUNS)
def test_shellcheck_finds_nothing(name: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), "--shell=bash", "-"],
        input=RUNS[name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_input_is_described_and_used() -> None:
    text = (PLACE / "action.yml").read_text()
    for name, each in ACTION["inputs"].items():
        assert each["description"]
        assert f"inputs.{name}" in text, name


def test_its_packages_are_of_the_makefile_s() -> None:
    makefile = re.search(r"^PACKAGES := (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert makefile is not None
    (installed,) = re.findall(r"--no-install-recommends (.*)$", RUNS["Packages"], re.MULTILINE)
    assert set(installed.split()) <= set(makefile[1].split())
    # The runner has these two, and only tests need btrfs.
    assert set(makefile[1].split()) - set(installed.split()) == {"btrfs-progs", "mount", "util-linux"}


class ActionRunner:
    """A `ActionRunner` is a directory as on a runner: thinsim is installed, a baseline is beside the code."""

    def __init__(self, directory: Path, server: CommentsServer) -> None:
        self.server = server
        self.workspace = directory / "work"
        self.kept: list[str] = []
        self._temporary = directory / "temporary"
        (self._temporary / "thinsim").mkdir(parents=True)
        (self._temporary / "thinsim" / "bin").symlink_to(Path(sys.executable).parent)
        self.workspace.mkdir()
        self._event = directory / "event.json"
        self._path = os.environ["PATH"]
        if shutil.which("sudo") is None or os.geteuid() != 0:
            (directory / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
            (directory / "sudo").chmod(0o755)
            self._path = f"{directory}:{self._path}"

    def run(self, event: Mapping[str, object] | None = None, **inputs: str) -> ActionRun:
        """Run the action for a pull request, or for another *event*."""
        self._event.write_text(json.dumps({"pull_request": {"number": 7}} if event is None else event))
        environment = {
            **os.environ,
            "PATH": self._path,
            "RUNNER_TEMP": str(self._temporary),
            "GITHUB_API_URL": self.server.address,
            "GITHUB_REPOSITORY": "owner/project",
            "GITHUB_EVENT_PATH": str(self._event),
        }
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        shutil.rmtree(self._temporary / "runner", ignore_errors=True)
        actions = {"actions/upload-artifact": self._upload}
        given = {"rig": "process", "rounds": "1", "no-speed": "true", **given}
        return run_action(PLACE, given, self.workspace, environment, actions, passed_over=INSTALLED)

    def _upload(self, words: Mapping[str, Any]) -> None:
        assert words["if-no-files-found"] == "ignore"
        self.kept = [name for name in words["path"].split("\n") if name and Path(name).is_file()]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[ActionRunner]:
    with comments_server() as server:
        yield ActionRunner(tmp_path, server)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("baseline") / "thinsim-baseline.json"
    words = ["baseline", "save", "container-exit", "-o", str(file), "--rounds", "1", "--rig", "process"]
    assert status_of(words) == 0
    return file


def test_it_passes_and_comments_once(runner: ActionRunner, baseline: Path) -> None:
    shutil.copy(baseline, runner.workspace)
    runner.server.comments = {number: f"comment {number}" for number in range(1, 151)}  # two pages
    first = runner.run()
    assert first.outputs["verdict"] == "passed", first.said("Compare")
    assert (first.status, first.outputs["status"]) == (0, "0")
    text = Path(first.outputs["markdown"]).read_text()
    assert first.summary == text
    assert text.startswith("### thinsim")
    assert runner.server.comments[151] == MARKER + text
    assert runner.server.tokens == {"Bearer a-token"}
    assert runner.kept == [first.outputs[name] for name in ("junit", "markdown", "json")]
    # Root writes the files, and the runner's own user uploads them.
    assert all(Path(name).stat().st_mode & stat.S_IROTH for name in runner.kept)
    assert first.said("Comment") == "Added the comment on pull request 7.\n"
    runner.server.comments[151] = f"{MARKER}older"
    again = runner.run()
    assert again.said("Comment") == "Updated the comment on pull request 7.\n"
    assert len(runner.server.comments) == 151
    assert runner.server.comments[151].startswith(f"{MARKER}### thinsim")


def test_a_regression_fails_the_job_after_the_comment(runner: ActionRunner) -> None:
    scenario = runner.workspace / "my own.toml"
    assert status_of(["scenarios", "new", str(scenario)]) == 0
    saved = runner.workspace / "base.json"
    words = ["baseline", "save", str(scenario), "-o", str(saved), "--rounds", "1", "--rig", "process"]
    assert status_of(words) == 0
    scenario.write_text(scenario.read_text().replace("discard_blocks = true", "discard_blocks = false"))
    found = runner.run(baseline="base.json", scenarios=f"\n  {scenario}\n", arguments="--allow-new")
    assert (found.status, found.outputs["verdict"]) == (3, "leaks"), found.said("Compare")
    assert "::error title=thinsim::leaks: thinsim ci ended with status 3" in found.said("Verdict")
    assert len(runner.server.comments) == 1


def test_a_missing_baseline_is_an_error_in_the_summary(runner: ActionRunner) -> None:
    found = runner.run(comment="false")
    assert (found.status, found.outputs["verdict"]) == (2, "error")
    assert "thinsim-baseline.json does not exist" in found.said("Compare")
    assert found.summary == "### thinsim: exit status 2; see the log\n"
    assert runner.server.comments == {}


def test_an_input_with_shell_in_it_is_an_argument(runner: ActionRunner, baseline: Path) -> None:
    shutil.copy(baseline, runner.workspace)
    nasty = "$(touch hacked); `touch hacked`"
    found = runner.run(scenarios=nasty, comment="false")
    assert f"scenario {nasty!r} does not exist" in found.said("Compare")
    assert not (runner.workspace / "hacked").exists()
    refused = runner.run(no_speed="maybe", comment="false")
    assert refused.status == 2
    assert "::error::the input no-speed is true or false, not maybe" in refused.said("Compare")


def commented(runner: ActionRunner, event: Mapping[str, object] | None = None, text: str = "### new") -> str:
    """Run the step that comments alone; return what it printed."""
    markdown, payload = runner.workspace / "thinsim.md", runner.workspace / "event.json"
    markdown.write_text(text)
    payload.write_text(json.dumps({"pull_request": {"number": 7}} if event is None else event))
    done = subprocess.run(
        [sys.executable, PLACE / "comment.py"],
        env={
            "GITHUB_API_URL": runner.server.address,
            "GITHUB_REPOSITORY": "owner/project",
            "GITHUB_EVENT_PATH": str(payload),
            "MARKDOWN": str(markdown),
            "NAME": "thinsim",
            "TOKEN": "a-token",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_fork_whose_token_may_not_write_gets_a_notice(runner: ActionRunner) -> None:
    runner.server.read_only = True
    said = commented(runner)
    assert said.startswith("::notice title=thinsim::no comment on the pull request: the token may not write")
    assert runner.server.comments == {}


def test_a_push_has_no_comment(runner: ActionRunner) -> None:
    assert "nothing to comment on" in commented(runner, event={"ref": "refs/heads/main"})
    assert runner.server.comments == {}


def test_a_comment_of_somebody_else_with_the_marker_stays(runner: ActionRunner) -> None:
    runner.server.comments, runner.server.others = {1: f"{MARKER}mine"}, {1}
    assert commented(runner).startswith("Added the comment")
    assert runner.server.comments == {1: f"{MARKER}mine", 2: f"{MARKER}### new"}


def test_a_text_too_long_for_a_comment_is_cut_at_a_line(runner: ActionRunner) -> None:
    assert commented(runner, text="| a row of the table |\n" * 5000).startswith("Added the comment")
    body = runner.server.comments[1]
    assert len(body) <= 65536
    assert body.endswith("| a row of the table |\n\nThe summary of the job has the rest.")


def test_an_api_that_does_not_answer_is_a_warning(runner: ActionRunner) -> None:
    runner.server.server_close()
    runner.server.shutdown()
    assert commented(runner).startswith("::warning title=thinsim::no comment on the pull request: ")
