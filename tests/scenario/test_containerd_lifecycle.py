"""The unmodified containerd on an emulated pool: its leaks, measured and attributed as for our own core."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

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


Run = dict[str, Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    """One run of each setting, by its word on the command line."""
    directory = tmp_path_factory.mktemp("containerd")
    words = ["reproduce", "--subject", "containerd", "--rig", "emulated", "--repeatable"]
    words += ["--dir", str(directory), "--container-mb", str(CONTAINER_MIB), "--json", "-"]
    done = subprocess.run(
        [sys.executable, "-m", "thinsim", *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert list(directory.iterdir()) == []
    return {run["setting"]["slug"]: run for run in json.loads(done.stdout)["runs"]}


def by_snapshot(run: Run) -> dict[str, tuple[int, str]]:
    return {leak["snapshot"]: (leak["bytes"], leak["reason"]) for leak in run["leaks"]}


def freed_in(run: Run, phase: str) -> int:
    for sample in run["samples"]:
        assert sample["host_freed"] == sample["ledger_freed"]
    return sum(sample["host_freed"] for sample in run["samples"] if sample["phase"] == phase)


@pytest.mark.parametrize("setting", ["on", "on-async"])
def test_containerd_gives_back_the_container_and_leaks_the_image(
    runs: Mapping[str, Run], setting: str
) -> None:
    leaks = by_snapshot(runs[setting])
    assert set(leaks) == {"snap-1", "snap-2", "snap-3", "snap-4"}
    assert {reason for _, reason in leaks.values()} == {
        "committed snapshot: its device was already deactivated, so nothing was discarded"
    }
    assert freed_in(runs[setting], "container removed") > CONTAINER_MIB << 20
    assert freed_in(runs[setting], "image removed") == 0


@pytest.mark.parametrize("setting", ["off", "off-async"])
def test_containerd_without_discard_blocks_gives_back_nothing(runs: Mapping[str, Run], setting: str) -> None:
    leaks = by_snapshot(runs[setting])
    assert set(leaks) == {"snap-1", "snap-2", "snap-3", "snap-4", "snap-5"}
    assert {reason for _, reason in leaks.values()} == {"deleted without discard: discard_blocks is off"}
    assert leaks["snap-5"][0] > CONTAINER_MIB << 20
    assert freed_in(runs[setting], "container removed") == freed_in(runs[setting], "image removed") == 0


def test_repeatable_runs_use_the_same_blocks_in_every_phase(runs: Mapping[str, Run]) -> None:
    used = {
        setting: [(sample["phase"], sample["pool_used_blocks"]) for sample in run["samples"]]
        for setting, run in runs.items()
    }
    assert set(used) == {"off", "on", "off-async", "on-async"}
    assert used["off"][-1] == ("image removed", 0)
    assert all(each == used["off"] for each in used.values())
