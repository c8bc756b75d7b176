"""With ``--repeatable`` a slow machine writes the same blocks as a fast one: no timer commits the journal."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from thinsim.block import loop
from thinsim.workload.repeatable import fs_options, repeatable_ext4

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]
FILES = 120
BLOCK = 4096
COMMIT_SECONDS = 5
"""Default commit interval of ext4 in seconds (Linux fs/jbd2/journal.c, JBD2_DEFAULT_MAX_COMMIT_AGE)."""


@pytest.mark.long
def test_a_slow_machine_writes_the_blocks_of_a_fast_one(tmp_path: Path) -> None:
    with repeatable_ext4(tmp_path):
        fast = written(tmp_path / "fast", pauses=0)
        slow = written(tmp_path / "slow", pauses=2)
    assert slow == fast


def written(directory: Path, *, pauses: int) -> set[int]:
    """Make a file system, fill it like a layer, and return the numbers of the changed blocks."""
    mountpoint = directory / "mnt"
    mountpoint.mkdir(parents=True)
    image = directory / "image"
    with image.open("xb") as made:
        made.truncate(64 << 20)
    device = loop.attach(image)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-E", fs_options(64 << 10), "-F", device.path], check=True)
        subprocess.run(["sync", device.path], check=True)
        before = image.read_bytes()
        subprocess.run(["mount", device.path, mountpoint], check=True)
        try:
            for number in range(FILES):
                folder = mountpoint / f"folder-{number % 7}"
                folder.mkdir(exist_ok=True)
                (folder / f"file-{number}").write_bytes(b"x" * (number * 2500 % 190_000 + 1))
                if number in range(10, 10 + pauses):
                    time.sleep(COMMIT_SECONDS + 1)
        finally:
            subprocess.run(["umount", mountpoint], check=True)
    finally:
        loop.detach(device)
    after = image.read_bytes()
    offsets = range(0, len(before), BLOCK)
    return {at // BLOCK for at in offsets if before[at : at + BLOCK] != after[at : at + BLOCK]}
