"""The unmodified containerd on an emulated pool: its leaks, measured and attributed as for our own core."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MISSING = [name for name in ("containerd", "ctr", "runc", "busybox", "dmsetup") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"missing: {', '.join(MISSING)} (apt-get install containerd runc busybox-static dmsetup)",
    ),
]

CONTAINER_MIB = 10


def run(tmp_path: Path, *settings: str) -> list[dict[str, object]]:
    words = [
        "reproduce",
        "--subject",
        "containerd",
        "--rig",
        "emulated",
        "--dir",
        str(tmp_path),
        "--json",
        "-",
    ]
    for setting in settings:
        words += ["--setting", setting]
    done = subprocess.run(
        [sys.executable, "-m", "thinsim", *words, "--container-mb", str(CONTAINER_MIB)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    runs: list[dict[str, object]] = json.loads(done.stdout)["runs"]
    return runs


def by_snapshot(measured: dict[str, object]) -> dict[str, tuple[int, str]]:
    leaks = measured["leaks"]
    assert isinstance(leaks, list)
    return {leak["snapshot"]: (leak["bytes"], leak["reason"]) for leak in leaks}


def freed_in(measured: dict[str, object], phase: str) -> int:
    samples = measured["samples"]
    assert isinstance(samples, list)
    for sample in samples:
        assert sample["host_freed"] == sample["ledger_freed"]
    return sum(sample["host_freed"] for sample in samples if sample["phase"] == phase)


def test_containerd_gives_back_the_container_and_leaks_the_image(tmp_path: Path) -> None:
    for measured in run(tmp_path, "on", "on-async"):
        leaks = by_snapshot(measured)
        assert set(leaks) == {"snap-1", "snap-2", "snap-3", "snap-4"}
        assert {reason for _, reason in leaks.values()} == {
            "committed snapshot: its device was already deactivated, so nothing was discarded"
        }
        assert freed_in(measured, "container removed") > CONTAINER_MIB << 20
        assert freed_in(measured, "image removed") == 0


def test_containerd_without_discard_blocks_gives_back_nothing(tmp_path: Path) -> None:
    (measured,) = run(tmp_path, "off")
    leaks = by_snapshot(measured)
    assert set(leaks) == {"snap-1", "snap-2", "snap-3", "snap-4", "snap-5"}
    assert {reason for _, reason in leaks.values()} == {"deleted without discard: discard_blocks is off"}
    assert leaks["snap-5"][0] > CONTAINER_MIB << 20
    assert freed_in(measured, "container removed") == freed_in(measured, "image removed") == 0
