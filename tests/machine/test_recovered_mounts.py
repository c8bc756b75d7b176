"""Recovery unmounts the run's own mounts, even busy ones, and leaves other mounts alone."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuse_backing.mounts import mount_on
from tests.machine.recovered_run import recover_run
from thinsim.machine import unmounting
from thinsim.machine.journal import Journal, TakenKind
from thinsim.machine.recovery import recover_abandoned


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    target = tmp_path / "target"
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "decoy", target], check=True)
    yield target
    while mount_on(target) is not None:
        subprocess.run(["umount", "-l", target], check=True)


@pytest.mark.rig
def test_a_mount_is_unmounted_and_its_directory_removed(journal: Journal, mounted: Path) -> None:
    journal.begin(TakenKind.MOUNT, target=mounted, fs_type="tmpfs")
    assert recover_run(journal) == ([], [f"unmounting {mounted}"])
    assert not mounted.exists()


@pytest.mark.rig
@pytest.mark.parametrize("last", ["inner", "outer"])
def test_a_run_within_the_directory_of_another_is_recovered_first(
    journal: Journal, mounted: Path, last: str
) -> None:
    journal.begin(TakenKind.DIRECTORY, path=mounted.parent / "target")
    inner = Journal.create()
    inner.begin(TakenKind.MOUNT, target=mounted, fs_type="tmpfs")
    for each, written in ((journal, last == "outer"), (inner, last == "inner")):
        each.path.write_text(each.path.read_text().replace('"started": ', '"started": 1'))
        os.utime(each.path, (1000 + written, 1000 + written))
    begun: list[Path] = []
    assert recover_abandoned(lambda _: None, lambda run: begun.append(run.path)) == []
    assert begun == ([inner.path, journal.path] if last == "inner" else [journal.path, inner.path])
    assert not mounted.exists()
    assert not journal.path.exists()
    assert not inner.path.exists()


@pytest.mark.rig
def test_a_busy_mount_is_detached(journal: Journal, mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unmounting, "BUSY_SECONDS", 0.1)
    with (mounted / "open").open("w"):
        journal.begin(TakenKind.MOUNT, target=mounted, fs_type="tmpfs")
        assert recover_run(journal)[0] == []
        assert not mounted.exists()


@pytest.mark.rig
@pytest.mark.parametrize(
    "fields", [{"fs_type": "tmpfs", "device": "0:0"}, {"fs_type": "ext4"}, {}], ids=["device", "type", "fuse"]
)
def test_a_mount_that_is_not_ours_is_left_alone(
    journal: Journal, mounted: Path, fields: dict[str, str]
) -> None:
    (mounted / "file").write_text("theirs")
    journal.begin(TakenKind.DIRECTORY, path=mounted.parent / "target")
    journal.begin(TakenKind.MOUNT, target=mounted, **fields)
    problems, acts = recover_run(journal)
    assert "a mount that this run did not make" in problems[0]
    assert acts == []
    assert (mounted / "file").read_text() == "theirs"


@pytest.mark.rig
def test_a_mount_that_waits_for_its_device_does_not_keep_recovery_waiting(
    journal: Journal, mounted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "bin/umount"
    hanging.parent.mkdir()
    hanging.write_text(f'#!/bin/sh\n[ $1 = -l ] || exec sleep 600\nexec {Path("/bin/umount")} "$@"\n')
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", f"{hanging.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(unmounting, "UNMOUNT_SECONDS", 0.3)
    journal.begin(TakenKind.MOUNT, target=mounted, fs_type="tmpfs")
    begun = time.monotonic()
    assert recover_run(journal)[0] == []
    assert time.monotonic() - begun < 10
