"""A small fixed work measures the machine's present speed; other times are divided by it.

The work resembles that of a run: checksums, and writes and hole punches of a sparse file.
"""

import os
import tempfile
import time
import zlib
from pathlib import Path

from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate

_PIECE = bytes(range(256)) * 256
_PIECES = 16
_REPETITIONS = 40


def reference_seconds(directory: Path) -> float:
    """Return the shortest of many repetitions, since other work on the machine only lengthens them.

    The file is made in *directory*, whose file system must punch holes. OSError if it can't be made.
    """
    with tempfile.TemporaryFile(dir=directory) as file:
        return min(_once(file.fileno()) for _ in range(_REPETITIONS))


def _once(fd: int) -> float:
    begun = time.perf_counter()
    for number in range(_PIECES):
        zlib.crc32(_PIECE)
        os.pwrite(fd, _PIECE, number * len(_PIECE))
    for number in range(_PIECES):
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, number * len(_PIECE), len(_PIECE))
    return time.perf_counter() - begun
