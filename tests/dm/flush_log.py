"""A `FlushLog` records what a writer begins and what is flushed. It outlives the writer."""

import os
import struct
from array import array
from pathlib import Path

from tests.dm.plane_oracle import Region, RegionChange

_RECORD = struct.Struct("<cQII")
_BEGINS, _FLUSHED = b"b", b"f"


class FlushLog:
    """A `FlushLog` belongs to one region, whose only writer appends to it. It is complete at every moment."""

    def __init__(self, directory: Path, region: Region) -> None:
        self._fd = os.open(
            directory / f"{region.device}.{region.first}.{region.count}",
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC,
            0o600,
        )

    def begins(self, change: RegionChange) -> None:
        """Record *change* before it begins. After a failed write, record each piece that it has left."""
        os.write(self._fd, _RECORD.pack(_BEGINS, change.mark, change.first, change.count))

    def flushed(self) -> None:
        """Record that everything that has ended is flushed: a flush that began after it has returned."""
        os.write(self._fd, _RECORD.pack(_FLUSHED, 0, 0, 0))


class Survivors:
    """The `Survivors` of a crash are what a region may hold: the last flushed content, or a later change."""

    def __init__(self, log: Path) -> None:
        self.device, self.first, self.count = map(int, log.name.split("."))
        self.flushes = 0
        self._flushed = array("Q", [0]) * self.count
        self._later: list[set[int]] = [set() for _ in range(self.count)]
        last = self._flushed[:]
        for act, mark, first, count in _RECORD.iter_unpack(log.read_bytes()):
            if act == _FLUSHED:
                self.flushes += 1
                self._flushed = last[:]
                self._later = [set() for _ in range(self.count)]
            else:
                begin = first - self.first
                last[begin : begin + count] = array("Q", [mark]) * count
                for later in self._later[begin : begin + count]:
                    later.add(mark)

    def assert_survived(self, found: "array[int]") -> None:
        """Check the stamps that were found in the region."""
        for number, (mark, flushed) in enumerate(zip(found, self._flushed, strict=True)):
            later = self._later[number]
            assert mark == flushed or mark in later, (
                f"thin-{self.device}: piece {self.first + number} has the stamp {mark:#x}; flushed was "
                f"{flushed:#x}, and later came {sorted(map(hex, later))}"
            )

    @property
    def certain(self) -> int:
        """Return the number of pieces with data that were flushed and not changed later."""
        return sum(bool(mark) and not later for mark, later in zip(self._flushed, self._later, strict=True))
