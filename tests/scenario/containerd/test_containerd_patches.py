"""A containerd that is built with the patches kept here leaks nothing and waits for a frozen file system."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tools.containerd_builds import BUILDS, PROGRAMS, SUITES
from tools.containerd_patched import PATCHES, name_of
from tools.suspend_retries import tried

_TARGET = "pool_device.go"


def _built(suite: str) -> object:
    there = all(
        (BUILDS / name / program).exists() for name in (suite, name_of(suite)) for program in PROGRAMS
    )
    why = f"the patched containerd of {suite} is not in .containerd (fix: make containerd-patched)"
    return pytest.param(suite, marks=pytest.mark.skipif(not there, reason=why), id=suite)


built = pytest.mark.parametrize("suite", [_built(suite) for suite in SUITES])


def reproduced(directory: Path, *builds: Path) -> Mapping[str, Any]:
    words = [
        "reproduce",
        "--subject",
        "containerd",
        "--rig",
        "emulated",
        "--container-mb",
        "5",
        "--json",
        "-",
    ]
    words += ["--setting", "on", "--dir", str(directory)]
    words += [word for build in builds for word in ("--containerd", str(build))]
    done = subprocess.run(
        [sys.executable, "-m", "thinsim", *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.rig
@built
def test_with_the_patch_the_image_leaks_nothing(suite: str, tmp_path: Path) -> None:
    released, patched = reproduced(tmp_path, BUILDS / suite, BUILDS / name_of(suite))["runs"]
    assert released["leaked"] > 100 << 20
    assert patched["leaked"] == 0


@pytest.mark.rig
@built
def test_with_the_patch_a_commit_waits_until_the_file_system_thaws(suite: str) -> None:
    released, patched = tried(BUILDS / suite), tried(BUILDS / name_of(suite))
    assert "device or resource busy" in released["error"]
    assert len(released["suspends"]) == 1
    assert patched["error"] == ""
    assert len(patched["suspends"]) > 2


@pytest.mark.parametrize("path", PATCHES, ids=lambda path: path.stem)
def test_a_patch_explains_itself_and_changes_one_file(path: Path) -> None:
    text = path.read_text()
    explanation, mark, change = text.partition("--- a/")
    assert mark
    assert "\n\nThe lines around the change are containerd's (Apache License 2.0).\n" in explanation
    assert change.startswith(f"{_TARGET}\n+++ b/{_TARGET}\n@@ ")
    added = [line for line in change.splitlines() if line.startswith("+\t")]
    assert 0 < len(added) < 10
