"""The main job runs by its one command, as root and without, and prints the leaks that the README shows."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.documented_commands import block_that_begins, commands_of
from tests.docs.shown_output import missing
from tests.repository import REPOSITORY

README, TUTORIAL = REPOSITORY / "README.md", REPOSITORY / "docs" / "tutorial" / "reproduce-a-leak.md"
NOBODY = "65534"


def shown(page: Path, text: str) -> str:
    """Return the command *text*, which the page must show word by word."""
    (found,) = {each.text for each in commands_of(page) if each.text == text}
    return found


def in_clone(words: list[str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    if not (REPOSITORY / ".venv" / ".installed").exists():
        pytest.skip("the clone was not set up by make setup, which the command would do first")
    return subprocess.run(
        words,
        cwd=REPOSITORY,
        env={**os.environ, "THINSIM_STATE_DIR": str(tmp_path / "state"), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.rig
@pytest.mark.long
def test_the_main_job_runs_by_its_one_command_and_prints_what_the_readme_shows(tmp_path: Path) -> None:
    command = shown(README, "make reproduce")
    assert shown(TUTORIAL, "sudo make reproduce").removeprefix("sudo ") == command
    done = in_clone(command.split(), tmp_path)
    assert done.returncode == 0, done.stderr
    leaks = block_that_begins(README, "discard_blocks=true: ")
    assert missing(leaks, done.stdout.splitlines()) is None


@pytest.mark.root("drops it")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare (apt-get install util-linux)")
def test_the_main_job_runs_without_root_too(tmp_path: Path) -> None:
    dropped = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
    if subprocess.run([*dropped, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no user namespaces here")
    done = in_clone([*dropped, *shown(TUTORIAL, "make reproduce").split()], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "rig process: no root; thinsim doctor lists what the others need" in done.stderr
    assert "discard_blocks=false: " in done.stdout
