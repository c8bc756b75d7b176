"""A test without root runs on the process rig. The error for another rig names what is missing."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nobody import NOBODY, as_nobody, python_of_nobody

pytestmark = pytest.mark.root("becomes another user")

TEST = """
import pytest

@pytest.mark.no_leak
@pytest.mark.snapshotter(discard_blocks=True)
def test_it(snapshotter, thin_pool):
    assert thin_pool.rig == "process"
    snapshotter.prepare("web")
    snapshotter.remove("web")
"""


@pytest.fixture
def project() -> Iterator[Path]:
    # Only its owner may enter tmp_path.
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "test_it.py").write_text(TEST)
        os.chown(directory, NOBODY, NOBODY)
        yield Path(directory)


def suite(project: Path, home: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    words = [python_of_nobody(), "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={project / 'tests'}"]
    return as_nobody([*words, *options], home, project)


def test_the_best_rig_without_root_is_the_process(project: Path) -> None:
    done = suite(project, project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_a_rig_that_needs_root_names_what_is_missing_and_the_fix(project: Path) -> None:
    done = suite(project, project, "--thinsim-rig=emulated")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "thinsim: rig 'emulated' can't run here:\n  root: effective user id 65534; run" in done.stdout
    assert "(fix: --thinsim-rig auto uses the best rig that this machine can run)" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_home_that_cannot_be_written_is_one_line_with_the_fix(project: Path) -> None:
    done = suite(project, Path("/proc/nowhere"))
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "set THINSIM_STATE_DIR to a writable directory" in done.stdout
    assert "Traceback" not in done.stdout
