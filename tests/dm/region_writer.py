"""A `RegionWriter` writes, reads, discards and flushes a region at random, and checks what it reads."""

import fcntl
import itertools
import mmap
import os
import random
import struct
import threading
from array import array
from dataclasses import dataclass, field
from pathlib import Path

from tests.dm.flush_log import FlushLog
from tests.dm.plane_oracle import PIECE, PIECES, Region, RegionChange, found_marks, stamp
from thinsim.block.linux import BLKDISCARD

SIZES = (1, 1, 1, 2, 4, 16, 17, 64, 256)
"""Pieces of one request: 4 KiB to 1 MiB."""


@dataclass
class Terms:
    """The `Terms` contain when all writers of a pool stop, and which errors of a write are right."""

    no_space: tuple[int, ...]
    stop: threading.Event = field(default_factory=threading.Event)
    writes_may_fail: bool = False
    failed_writes: int = 0

    def excuses(self, error: OSError, might_fail: bool) -> bool:
        """Return whether a request may end with *error*; *might_fail* is what held when it began."""
        return error.errno in self.no_space and (might_fail or self.writes_may_fail)


class DirectDevice:
    """A `DirectDevice` reads and writes a block device past the page cache. One thread may use it."""

    def __init__(self, path: Path, most: int = max(SIZES)) -> None:
        """Open *path* for requests of at most *most* pieces."""
        self._fd = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        self._buffer = mmap.mmap(-1, most * PIECE)
        self._view = memoryview(self._buffer)

    def read(self, first: int, count: int) -> bytes:
        parts = []
        while count:
            most = min(count * PIECE, len(self._view))
            done = os.preadv(self._fd, [self._view[:most]], first * PIECE)
            assert done == most, f"{done} of {most} bytes were read"
            parts.append(bytes(self._view[:most]))
            first, count = first + most // PIECE, count - most // PIECE
        return b"".join(parts)

    def write(self, first: int, data: bytes) -> None:
        """Write *data* with one system call."""
        self._view[: len(data)] = data
        done = os.pwrite(self._fd, self._view[: len(data)], first * PIECE)
        assert done == len(data), f"{done} of {len(data)} bytes were written"

    def discard(self, first: int, count: int) -> None:
        fcntl.ioctl(self._fd, BLKDISCARD, struct.pack("QQ", first * PIECE, count * PIECE))

    def flush(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        self._view.release()
        self._buffer.close()
        os.close(self._fd)

    def __enter__(self) -> "DirectDevice":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class RegionWriter:
    """A `RegionWriter` belongs to one thread. *seed* decides all its requests; *log* is for its flushes.

    A request has one of *sizes* pieces.
    """

    def __init__(
        self, path: Path, region: Region, log: FlushLog | None, seed: int, sizes: tuple[int, ...] = SIZES
    ) -> None:
        self.region = region
        self.requests = 0
        self._path = path
        self._chance = random.Random(f"{seed} {region.device} {region.first}")
        self._generations = itertools.count(1)
        self._log = log
        self._sizes = sizes

    def work(self, terms: Terms) -> None:
        """Send requests until *terms* stop; an error or a wrong byte stops all writers."""
        try:
            with DirectDevice(self._path, max(self._sizes)) as device:
                while not terms.stop.is_set():
                    self._request(device, terms)
                    self.requests += 1
        except BaseException:
            terms.stop.set()
            raise

    def verify(self) -> None:
        """Check each byte of the region."""
        with DirectDevice(self._path, max(self._sizes)) as device:
            self._read(device, self.region.first, self.region.count)

    def discard_all(self) -> None:
        """Discard each block of which no other region has a part."""
        with DirectDevice(self._path, max(self._sizes)) as device:
            self._discard(device, self.region.first, self.region.count)

    def _request(self, device: DirectDevice, terms: Terms) -> None:
        region, chance = self.region, self._chance
        act = chance.random()
        first = region.first + chance.randrange(region.count)
        count = min(chance.choice(self._sizes), region.first + region.count - first)
        if act < 0.45:
            self._write(device, first, count, terms)
        elif act < 0.8:
            self._read(device, first, count)
        elif act < 0.9:
            self._discard(device, first, count)
        elif act < 0.905:
            self._discard(device, region.first, region.count)
        else:
            self._flush(device, terms)

    def _read(self, device: DirectDevice, first: int, count: int) -> None:
        self.region.assert_holds(device.read(first, count), first, self._path.name)

    def _flush(self, device: DirectDevice, terms: Terms) -> None:
        may_fail = terms.writes_may_fail
        try:
            device.flush()
        except OSError as error:
            # Without space, a flush of a device whose block 0 is unmapped ends as a write there does.
            if not terms.excuses(error, may_fail):
                raise
        else:
            if self._log is not None:
                self._log.flushed()

    def _write(self, device: DirectDevice, first: int, count: int, terms: Terms) -> None:
        region = self.region
        change = RegionChange(stamp(region.device, next(self._generations)), first, count)
        may_fail = terms.writes_may_fail
        self._begin(change)
        data = change.data()
        try:
            device.write(first, data)
        except OSError as error:
            if not terms.excuses(error, may_fail):
                raise
            terms.failed_writes += 1
            change.after = self._after_failure(device, change)
            if self._log is not None:
                for number, mark in enumerate(change.after):
                    self._log.begins(RegionChange(mark, first + number, 1))
        region.end(change)

    def _begin(self, change: RegionChange) -> None:
        if self._log is not None:
            self._log.begins(change)
        self.region.begin(change)

    def _after_failure(self, device: DirectDevice, change: RegionChange) -> "array[int]":
        """Return what a failed write has left: of each piece what it held, or what was written."""
        after = found_marks(device.read(change.first, change.count), change.first)
        before = self.region.held(change.first, change.count)
        for number, (found, held) in enumerate(zip(after, before, strict=True)):
            assert found in (held, change.mark), (
                f"{self._path.name}: piece {change.first + number} has {found:#x} and not {held:#x} "
                f"after the write {change.mark:#x} failed"
            )
        return after

    def _discard(self, device: DirectDevice, first: int, count: int) -> None:
        """Discard; a block of which a part remains keeps its bytes."""
        begin, end = -(-first // PIECES) * PIECES, (first + count) // PIECES * PIECES
        change = RegionChange(0, begin, max(end - begin, 0))
        self._begin(change)
        device.discard(first, count)
        self.region.end(change)
