"""`seconds_of_a_life` measures the life of a file system: made, filled from an archive, emptied, trimmed."""

import atexit
import functools
import io
import os
import random
import shutil
import tarfile
import tempfile
import time
from pathlib import Path

from benchmarks.backing_rows import seconds_of, unmount_filesystem

_SIZES = (700, 4_000, 15_000, 60_000, 250_000)
"""Bytes of the files, in turn: many small ones and a few large ones, like the layers of an image."""
_FILES_PER_DIRECTORY = 25
_SMALL_PER_DIRECTORY = 50
_LARGEST_SMALL = 8 << 10


def seconds_of_a_life(device: Path, amount: int) -> float:
    """Return the seconds from mkfs.ext4 to the end of umount, with files of *amount* bytes in between."""
    with tempfile.TemporaryDirectory(prefix="thinsim-bench-") as name:
        archive, mountpoint = Path(name, "tree.tar"), Path(name, "mnt")
        archive.write_bytes(tree(amount))
        mountpoint.mkdir()
        began = time.monotonic()
        seconds_of(["mkfs.ext4", "-q", "-F", str(device)])
        try:
            seconds_of(["mount", str(device), str(mountpoint)])
            seconds_of(["tar", "-x", "-f", str(archive), "-C", str(mountpoint)])
            os.sync()
            shutil.rmtree(mountpoint / "tree")
            os.sync()
            seconds_of(["fstrim", str(mountpoint)])
        finally:
            unmount_filesystem(mountpoint)
        return time.monotonic() - began


@functools.cache
def tree(amount: int) -> bytes:
    """Return a tar archive of files with *amount* bytes that do not compress, the same each time."""
    choose = random.Random(amount)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        number = 0
        while amount > 0:
            entry = tarfile.TarInfo(f"tree/{number // _FILES_PER_DIRECTORY}/{number}")
            entry.size = min(_SIZES[number % len(_SIZES)], amount)
            tar.addfile(entry, io.BytesIO(choose.randbytes(entry.size)))
            amount -= entry.size
            number += 1
    return archive.getvalue()


@functools.cache
def small_files(count: int) -> Path:
    """Return a tar archive of *count* files of 0 to 8 KiB each, 50 in a directory.

    It is in a directory for temporary files until the process ends.
    """
    directory = tempfile.TemporaryDirectory(prefix="thinsim-bench-")
    atexit.register(directory.cleanup)
    choose = random.Random(count)
    path = Path(directory.name, "small.tar")
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            entry = tarfile.TarInfo(f"{number // _SMALL_PER_DIRECTORY}/{number}")
            entry.size = choose.randrange(_LARGEST_SMALL)
            tar.addfile(entry, io.BytesIO(choose.randbytes(entry.size)))
    return path
