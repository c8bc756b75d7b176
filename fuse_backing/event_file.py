"""`EventFile` writes the ledger's events as lines of JSON into a file while the server runs.

The writer is a subscriber: the ring is its buffer. So a slow disk loses events (a line gives their number),
but it costs no memory and never delays the data path.
"""

import json
import logging
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import trio

from fuse_backing.errors import FuseBackingError
from fuse_backing.events import LedgerEvent
from fuse_backing.ledger import Ledger

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds until a failed write is tried again."""

PAUSE = 0.05
"""Seconds between two writes, so that many events are written in batches."""

_BATCH = 1024


class EventFile:
    """An `EventFile` appends *ledger*'s events to the open file *fd*, which it closes."""

    def __init__(self, ledger: Ledger, fd: int, path: Path) -> None:
        self._ledger = ledger
        self._fd = fd
        self._path = path
        self._position = 0
        self._failing = False
        self._lock = threading.Lock()  # a planned crash drains, perhaps while a thread does so

    @classmethod
    def open(cls, ledger: Ledger, path: Path) -> Self:
        """Open *path* for appending, mode 0600 if it is new. Raises FuseBackingError."""
        try:
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FuseBackingError(f"cannot write events to {path}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # a pipe that nobody reads would delay the server's end
            os.close(fd)
            raise FuseBackingError(f"cannot write events to {path}: it is not a regular file")
        return cls(ledger, fd, path)

    def close(self) -> None:
        """Write the remaining events, and close the file."""
        self.drain()
        os.close(self._fd)

    async def run(self) -> None:
        """Write events as they are recorded, until cancelled."""
        while True:
            await self._ledger.newer_than(self._position)
            written = await trio.to_thread.run_sync(self.drain)
            await trio.sleep(PAUSE if written else PATIENCE)

    def drain(self) -> bool:
        """Write all events that are not written yet; return whether that worked. Log a failure once."""
        with self._lock:
            while events := self._ledger.events(self._position, _BATCH):
                if not self._write(events):
                    return False
            return True

    def _write(self, events: list[LedgerEvent]) -> bool:
        missed = events[0].sequence - self._position - 1
        lines: list[dict[str, object]] = [{"missed": missed}] if missed else []
        lines += [event.to_json() for event in events]
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:])
        except OSError as error:
            self._cut_off(len(data[:done]) - data[:done].rfind(b"\n") - 1)
            if not self._failing:
                log.warning("cannot write events to %s: %s; trying again", self._path, error.strerror)
            self._failing = True
        else:
            self._failing = False
        whole = data.count(b"\n", 0, done) - bool(missed)
        if whole >= 0:
            self._position = events[whole - 1].sequence if whole else events[0].sequence - 1
        return not self._failing

    def _cut_off(self, size: int) -> None:
        """Remove the part of a line that was written before the disk was full."""
        with suppress(OSError):
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - size)
