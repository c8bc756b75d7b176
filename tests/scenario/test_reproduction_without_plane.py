"""A repeatable run gives the same counts with the data plane and without, and its report names the plane."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thinsim.report.environment import DATA_PLANE
from thinsim.units import Bytes
from thinsim.workload.image.built import build_image

pytestmark = pytest.mark.rig

TIMES = ("seconds", "at")
"""The values of a sample that are times; all others are counts, bytes and names."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "image.tar"
    build_image(path, size=Bytes(24 << 20), progress=lambda done: None)
    return path


def reproduced(plane: str, image: Path, directory: Path) -> tuple[dict[str, Any], str]:
    """Return the JSON and the text of a run with ``THINSIM_PLANE`` set to *plane*."""
    report = directory / f"{plane}.json"
    words = ["reproduce", "--rig", "emulated", "--repeatable", "--setting", "on", "--container-mb", "4"]
    done = subprocess.run(
        [sys.executable, "-m", "thinsim", *words, "--image", str(image), "--json", str(report)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "THINSIM_PLANE": plane},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(report.read_text()), " ".join(done.stdout.split())


def counts(report: dict[str, Any]) -> list[Any]:
    """Return all that a run measured, except times."""
    (run,) = report["runs"]
    samples = [{name: value for name, value in each.items() if name not in TIMES} for each in run["samples"]]
    punches = [(each["operation"], each["offset"], each["length"], each["freed"]) for each in run["events"]]
    return [samples, punches, run["leaks"]]


def test_every_count_is_the_same_with_the_plane_and_without(image: Path, tmp_path: Path) -> None:
    (on, on_text), (off, off_text) = (reproduced(plane, image, tmp_path) for plane in ("on", "off"))
    assert off["environment"][DATA_PLANE] == "Python serves every request: THINSIM_PLANE=off"
    assert "Data plane: Python serves every request: THINSIM_PLANE=off." in off_text
    assert on["environment"][DATA_PLANE] != off["environment"][DATA_PLANE]
    assert f"Data plane: {on['environment'][DATA_PLANE]}." in on_text
    assert sum(sample["host_freed"] for sample in on["runs"][0]["samples"]) > 4 << 20
    assert counts(on) == counts(off)
