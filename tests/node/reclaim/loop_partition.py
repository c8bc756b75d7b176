"""`partition_of` makes a partition of a loop device on a file, with or without udev."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from thinsim.block import loop

needs_partitions = pytest.mark.skipif(
    shutil.which("addpart") is None, reason="addpart is not installed (apt-get install util-linux)"
)


@contextmanager
def partition_of(file: Path, *, first: int, length: int) -> Iterator[Path]:
    """Yield the node of a partition that has *length* bytes of *file*, from byte *first* on."""
    disk = loop.attach(file)
    node = Path(f"{disk.path}p1")
    made = False
    try:
        words = ["addpart", str(disk.path), "1", str(first // 512), str(length // 512)]
        subprocess.run(words, check=True)
        if not node.exists():  # the container has no udev
            major, minor = Path("/sys/class/block", node.name, "dev").read_text().split(":")
            os.mknod(node, 0o600 | stat.S_IFBLK, os.makedev(int(major), int(minor)))
            made = True
        yield node
    finally:
        if made:
            node.unlink()
        subprocess.run(["delpart", str(disk.path), "1"], check=True)
        loop.detach(disk)
