"""The unmodified containerd runs on an emulated pool; its leaks are measured as for thinsim's core."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
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
LEFT_CONTAINER = Path("/run/containerd/runc/default/container")


LifecycleRun = dict[str, Any]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file with the recorded block writes of the first setting."""
    return tmp_path_factory.mktemp("recorded") / "history.json.gz"


@pytest.fixture(scope="module")
def left_container() -> Iterator[None]:
    """Let runc's usual root have a container of the run's name, as after a run that was killed."""
    LEFT_CONTAINER.mkdir(parents=True, exist_ok=True)
    yield
    with suppress(OSError):  # containerd's shim removes it; another run's container is not empty
        LEFT_CONTAINER.rmdir()


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, history: Path, left_container: None
) -> Mapping[str, LifecycleRun]:
    """Return one run of each setting, by its word on the command line."""
    directory = tmp_path_factory.mktemp("containerd")
    words = ["--subject", "containerd", "--rig", "emulated", "--repeatable", "--record", str(history)]
    words += ["--dir", str(directory), "--container-mb", str(CONTAINER_MIB)]
    of = reproduced(*words)
    assert list(directory.iterdir()) == []
    return of


def reproduced(*words: str) -> dict[str, LifecycleRun]:
    done = subprocess.run(
        [sys.executable, "-m", "thinsim", "reproduce", *words, "--json", "-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {run["setting"]: run for run in json.loads(done.stdout)["runs"]}


def by_snapshot(run: LifecycleRun) -> dict[str, tuple[int, str]]:
    return {leak["owner"]["snapshot"]: (leak["bytes"], leak["owner"]["reason"]) for leak in run["leaks"]}


def freed_in(run: LifecycleRun, phase: str) -> int:
    for sample in run["samples"]:
        assert sample["host_freed"] == sample["ledger_freed"]
    return sum(sample["host_freed"] for sample in run["samples"] if sample["phase"] == phase)


@pytest.mark.parametrize("setting", ["on", "on-async"])
def test_containerd_frees_the_container_and_leaks_the_image(
    runs: Mapping[str, LifecycleRun], setting: str
) -> None:
    leaks = by_snapshot(runs[setting])
    assert set(leaks) == {"snap-1", "snap-2", "snap-3", "snap-4"}
    assert {reason for _, reason in leaks.values()} == {
        "committed snapshot: its device was already deactivated, so nothing was discarded"
    }
    assert freed_in(runs[setting], "container removed") > CONTAINER_MIB << 20
    assert freed_in(runs[setting], "image removed") == 0


@pytest.mark.parametrize("setting", ["off", "off-async"])
def test_containerd_without_discard_blocks_frees_nothing(
    runs: Mapping[str, LifecycleRun], setting: str
) -> None:
    leaks = by_snapshot(runs[setting])
    assert set(leaks) == {"snap-1", "snap-2", "snap-3", "snap-4", "snap-5"}
    assert {reason for _, reason in leaks.values()} == {"deleted without discard: discard_blocks is off"}
    assert leaks["snap-5"][0] > CONTAINER_MIB << 20
    assert freed_in(runs[setting], "container removed") == freed_in(runs[setting], "image removed") == 0


def test_repeatable_runs_use_the_same_blocks_in_every_phase(runs: Mapping[str, LifecycleRun]) -> None:
    used = {
        setting: [(sample["phase"], sample["pool_used_blocks"]) for sample in run["samples"]]
        for setting, run in runs.items()
    }
    assert set(used) == {"off", "on", "off-async", "on-async"}
    assert used["off"][-1] == ("image removed", 0)
    assert all(each == used["off"] for each in used.values())


def test_the_recorded_writes_of_containerd_give_its_numbers_again_without_it(
    runs: Mapping[str, LifecycleRun], history: Path
) -> None:
    played = reproduced("--rig", "process", "--history", str(history), "--setting", "off")
    assert after_each_phase(played["off"]) == after_each_phase(runs["off"])


def after_each_phase(run: LifecycleRun) -> dict[str, tuple[int, ...]]:
    measured = ("pool_used_blocks", "host_allocated")
    return {sample["phase"]: tuple(sample[name] for name in measured) for sample in run["samples"]}
