"""The example project's own suite: it passes, and fails for the right tests once discard_blocks is off."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "image-store"

AFFECTED = {
    "test_a_stopped_container_frees_its_space",
    "test_containers_that_come_and_go_do_not_make_the_file_grow",
    "test_pruning_empties_the_pool_and_leaks_only_what_containerd_cannot_discard",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copied = tmp_path / "image-store"
    shutil.copytree(EXAMPLE, copied, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    return copied


def suite(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--basetemp={project.parent}/pt",
            *options,
        ],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def failed(done: subprocess.CompletedProcess[str]) -> set[str]:
    return set(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", done.stdout, re.MULTILINE))


def test_the_example_passes(project: Path) -> None:
    done = suite(project, "--thinsim-rig=process")
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_the_example_fails_with_discard_blocks_off(project: Path) -> None:
    config = project / "snapshotter.toml"
    config.write_text(config.read_text().replace("discard_blocks = true", "discard_blocks = false"))
    done = suite(project, "--thinsim-rig=process")
    assert done.returncode == 1, done.stdout
    assert failed(done) == AFFECTED


@pytest.mark.rig
def test_the_example_passes_on_real_mounts(project: Path) -> None:
    done = suite(project, "--thinsim-rig=emulated", "-k", "stopped")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
