"""A `DirectMetadata` reads the metadata device of an active pool past the page cache.

The pool keeps the device open and writes it around the page cache (dm-bufio.c), so a page of an earlier
reader would be old. A loop device reads its file through the page cache of the file, which the pool writes.
"""

import mmap
import os
from pathlib import Path

from thinsim.errors import InvariantError
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE


class DirectMetadata:
    """A `DirectMetadata` is a read-only MetadataStore that reads *path* past the page cache.

    ``OSError`` if it can't be opened or read. It is for one thread.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
        self._buffer = mmap.mmap(-1, METADATA_BLOCK_SIZE)  # O_DIRECT needs aligned memory
        self._blocks = os.lseek(self._fd, 0, os.SEEK_END) // METADATA_BLOCK_SIZE

    @property
    def blocks(self) -> int:
        return self._blocks

    def read(self, block: int) -> bytes:
        length = os.preadv(self._fd, [self._buffer], block * METADATA_BLOCK_SIZE)
        return self._buffer[:length]

    def write(self, block: int, content: bytes) -> None:
        raise InvariantError("the metadata of an active pool is never written")

    def flush(self) -> None:
        """Do nothing: nothing is written."""

    def close(self) -> None:
        """Close the device; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._buffer.close()
            self._fd = -1
