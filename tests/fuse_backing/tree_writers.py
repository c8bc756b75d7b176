"""`TreeWriter` creates, syncs, renames, punches and removes files of a store until an operation fails."""

import os
import threading
from contextlib import suppress
from pathlib import Path

from tests.fuse_backing.backing_store import host_fallocate

BLOCK = 4096
PUNCH = 3
_KEPT = 40
"""The number of files that a writer keeps; it removes older ones."""


class TreeWriter(threading.Thread):
    """A `TreeWriter` works in a directory of its own, and remembers the files that it has made durable."""

    def __init__(self, directory: Path, seed: int) -> None:
        super().__init__()
        self.directory = directory
        self.seed = seed
        self.durable: dict[str, bytes] = {}
        """The content of each file, by name, for which fsync of file and directory have succeeded."""
        self.punches = 0
        """The number of punches that succeeded."""
        self.failure: OSError | None = None
        """The failure that ended the writer."""
        self.enough = threading.Event()
        """Set when the writer has had some files made durable."""
        self.stopping = False

    def run(self) -> None:
        number = 0
        try:
            while not self.stopping:
                self._write(number)
                number += 1
                if number == 2 * _KEPT:
                    self.enough.set()
        except OSError as error:
            self.failure = error
        finally:
            self.enough.set()

    def _write(self, number: int) -> None:
        """Write a file, punch its second block, make it durable, rename it, and remove an old one."""
        content = bytearray((self.seed * 31 + number) % 251 + 1 for _ in range(1)) * (4 + number % 12) * BLOCK
        path = self.directory / f"new-{number}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            written = 0
            while written < len(content):
                written += os.pwrite(fd, content[written:], written)
            if error := host_fallocate(fd, PUNCH, BLOCK, BLOCK):
                raise OSError(error, os.strerror(error))
            self.punches += 1
            content[BLOCK : 2 * BLOCK] = bytes(BLOCK)
            os.fsync(fd)
        finally:
            with suppress(OSError):  # the close fails where the server has ended
                os.close(fd)
        path.rename(self.directory / f"{number}")
        self._sync_directory()
        self.durable[f"{number}"] = bytes(content)
        old = f"{number - _KEPT}"
        if self.durable.pop(old, None) is not None:
            (self.directory / old).unlink()

    def _sync_directory(self) -> None:
        fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            with suppress(OSError):
                os.close(fd)
