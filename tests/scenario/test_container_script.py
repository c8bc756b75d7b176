"""The container of a containerd run writes to its own file system, and waits for that one alone."""

import subprocess
from pathlib import Path

import pytest

from thinsim.scenario.containerd.lifecycle import SCRIPT


@pytest.mark.parametrize(
    ("knows_files", "syncs"), [(True, ["sync -f /written"]), (False, ["sync -f /written", "sync"])]
)
def test_the_container_waits_for_its_own_file_system_if_busybox_can(
    knows_files: bool, syncs: list[str], tmp_path: Path
) -> None:
    log, busybox = tmp_path / "log", tmp_path / "busybox"
    refusal = "" if knows_files else '[ "$*" != "sync -f /written" ]'
    busybox.write_text(f'#!/bin/sh\necho "$@" >>{log}\n{refusal}\n')
    busybox.chmod(0o755)
    script = SCRIPT.format(mebibytes=4, temporary=1).replace("/busybox-thinsim", str(busybox))
    subprocess.run(["sh", "-c", script], check=True)
    assert log.read_text().splitlines() == [
        "dd if=/dev/urandom of=/written bs=1M count=4",
        "dd if=/dev/urandom of=/temporary bs=1M count=1",
        "rm /temporary",
        *syncs,
    ]
