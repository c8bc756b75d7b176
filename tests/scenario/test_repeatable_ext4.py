"""With ``--repeatable`` it does not matter when a file system is flushed: the same blocks are written."""

import os
import subprocess
from pathlib import Path

import pytest

from thinsim import loop
from thinsim.scenario.repeatable import fs_options, repeatable_ext4

pytestmark = [
    pytest.mark.rig,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]
FILES = 120
BLOCK = 4096


def test_a_slow_machine_that_flushes_often_writes_the_blocks_of_a_fast_one(tmp_path: Path) -> None:
    with repeatable_ext4(tmp_path):
        fast = written(tmp_path / "fast", flush_every=FILES)
        slow = written(tmp_path / "slow", flush_every=3)
    assert slow == fast


def written(directory: Path, *, flush_every: int) -> set[int]:
    """Make a file system, fill it as a layer is, and return the numbers of the blocks that this changed."""
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
                if number % flush_every == flush_every - 1:
                    subprocess.run(["sync", "--file-system", mountpoint], check=True)
        finally:
            subprocess.run(["umount", mountpoint], check=True)
    finally:
        loop.detach(device)
    after = image.read_bytes()
    offsets = range(0, len(before), BLOCK)
    return {at // BLOCK for at in offsets if before[at : at + BLOCK] != after[at : at + BLOCK]}
