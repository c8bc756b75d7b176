"""Two builds of containerd are measured side by side, and each version leaks all of an image."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.containerd.builds_here import GET
from tools.containerd_builds import BUILDS, PROGRAMS, SUITES

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(
        not all((BUILDS / suite / name).exists() for suite in SUITES for name in PROGRAMS),
        reason=f"the builds of other releases are not in .containerd ({GET})",
    ),
]

BLOCK = 65536


def reproduced(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "thinsim", "reproduce", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    words = ["--subject", "containerd", "--rig", "emulated", "--container-mb", "5", "--json", "-"]
    words += [word for suite in SUITES for word in ("--containerd", str(BUILDS / suite))]
    done = reproduced(
        *words, "--setting", "off", "--setting", "on", "--dir", str(tmp_path_factory.mktemp("x"))
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_each_setting_runs_on_each_build(report: Mapping[str, Any]) -> None:
    versions = [name.removeprefix("containerd ") for name in report["environment"] if "containerd " in name]
    assert len(set(versions)) == len(SUITES)
    assert [run["name"] for run in report["runs"]] == [
        f"{version}: discard_blocks={value}" for value in ("false", "true") for version in versions
    ]
    assert [word for word in report["command"] if word.endswith(SUITES)] == [str(BUILDS / s) for s in SUITES]


def test_every_version_leaks_the_image_and_discards_the_container_if_asked(report: Mapping[str, Any]) -> None:
    for run in report["runs"]:
        owners = {leak["owner"]["snapshot"]: leak["bytes"] for leak in run["leaks"]}
        image = sum(size for name, size in owners.items() if name != "snap-5")
        assert image > 100 << 20, run["name"]
        assert ("snap-5" in owners) == (run["setting"] == "off"), run["name"]


def test_the_core_takes_no_containerd() -> None:
    done = reproduced("--containerd", str(BUILDS / SUITES[0]))
    assert done.returncode == 2
    assert "--containerd needs --subject containerd or --subject proxy" in done.stderr


def test_a_directory_without_ctr_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "rig").mkdir()
    words = ("--subject", "containerd", "--containerd", str(tmp_path / "bin"), "--dir", str(tmp_path / "rig"))
    done = reproduced(*words, "-q")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"thinsim: {tmp_path}/bin has no containerd and no ctr")
    assert not list((tmp_path / "rig").iterdir())
