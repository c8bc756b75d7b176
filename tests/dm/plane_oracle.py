"""A `Region` is the part of a thin device that one writer has, and knows what it holds.

Each piece of 4 KiB that is written carries its device, its offset, the number of the write and a checksum, in
each of its 64 lines. So a wrong piece shows where it comes from: another device, offset or time.
"""

import struct
import threading
import zlib
from array import array
from dataclasses import dataclass, field

from tests.dm.mappers_under_test import BLOCK

PIECE = 4096
ZEROS = bytes(PIECE)
PIECES = BLOCK // PIECE
"""Pieces of a data block."""

_LINE = struct.Struct("<8sQQQ")
_MAGIC = b"oracle\0\0"
_LINES = 64


def stamp(device: int, generation: int) -> int:
    """Return the stamp of a write: its device, and its number among the writes of that device from 1 on."""
    return generation << 16 | device


def content(mark: int, place: int) -> bytes:
    """Return the piece that the write with the stamp *mark* leaves at *place*; zeros have the stamp 0."""
    if not mark:
        return ZEROS
    line = _LINE.pack(_MAGIC, mark & 0xFFFF, place, mark >> 16)
    return (line + zlib.crc32(line).to_bytes(4) * 8) * _LINES


def contents(marks: "array[int]", place: int) -> bytes:
    """Return the pieces of *marks* from *place* on."""
    return b"".join([content(mark, place + number) for number, mark in enumerate(marks)])


def found_marks(data: bytes, place: int) -> "array[int]":
    """Return the stamp of each piece of *data*, which begins at *place*.

    AssertionError: a piece is of another place, or no write has left it.
    """
    marks = array("Q")
    for at in range(0, len(data), PIECE):
        piece, here = data[at : at + PIECE], place + at // PIECE
        if piece == ZEROS:
            marks.append(0)
            continue
        _, device, _, generation = _LINE.unpack_from(piece)
        mark = (generation << 16 | device) & 0xFFFFFFFFFFFFFFFF
        assert piece == content(mark, here), f"piece {here} is {described(piece)}"
        marks.append(mark)
    return marks


def described(piece: bytes) -> str:
    """Describe where *piece* comes from."""
    lines = [piece[at : at + 64] for at in range(0, PIECE, 64)]
    runs: list[tuple[str, int]] = []
    for line in lines:
        magic, device, place, generation = _LINE.unpack_from(line)
        text = "garbage " + line[:8].hex()
        if not any(line):
            text = "zeros"
        elif magic == _MAGIC and line[32:36] == zlib.crc32(line[:32]).to_bytes(4):
            text = f"write {generation} of device {device} at piece {place}"
        runs = [*runs[:-1], (text, runs[-1][1] + 1)] if runs and runs[-1][0] == text else [*runs, (text, 1)]
    return ", ".join(f"{count}/{_LINES} {text}" for text, count in runs)


@dataclass(slots=True)
class RegionChange:
    """A `RegionChange` is a write or a discard of *count* pieces from *first* on, which may have failed."""

    mark: int
    first: int
    count: int
    after: "array[int] | None" = None
    """The stamps that a failed write has left in its pieces."""

    def data(self) -> bytes:
        """Return the bytes of a write."""
        return b"".join([content(self.mark, self.first + number) for number in range(self.count)])

    def apply(self, marks: "array[int]", origin: int) -> None:
        """Change *marks*, which begin at the piece *origin*."""
        begin = self.first - origin
        marks[begin : begin + self.count] = self.after or array("Q", [self.mark]) * self.count


@dataclass(slots=True)
class Window:
    """A `Window` has the marks before a snapshot was taken, and each change that may be in the snapshot."""

    first: int
    before: "array[int]"
    changes: list[RegionChange] = field(default_factory=list)

    def assert_seen(self, data: bytes, first: int, name: str) -> None:
        """Check that *data*, read from *first* on during this window, is what the region held meanwhile.

        Each word of eight bytes is from before or from one of the changes: a read may see part of a write.
        """
        for at in range(len(data) // PIECE):
            place, piece = first + at, data[at * PIECE : (at + 1) * PIECE]
            marks = {self.before[place - self.first]}
            for change in self.changes:
                if change.first <= place < change.first + change.count:
                    marks.add(change.mark)
            possible = [content(mark, place) for mark in marks]
            if piece in possible:
                continue
            for word in range(0, PIECE, 8):
                assert any(each[word : word + 8] == piece[word : word + 8] for each in possible), (
                    f"{name}: piece {place} is {described(piece)}; expected stamps {sorted(map(hex, marks))}"
                )

    def assert_point_in_time(self, found: "array[int]", name: str) -> None:
        """Check that *found* is what the region held at one point in time.

        There is a change such that all before it are there, none after it, and of itself any pieces.
        """
        state, best = self.before[:], (len(found) + 1, "")
        for change in self.changes:
            begin, end = change.first - self.first, change.first - self.first + change.count
            wrong = [
                self.first + number
                for number, (there, expected) in enumerate(zip(found, state, strict=True))
                if there != expected and not (begin <= number < end and there == change.mark)
            ]
            if not wrong:
                return
            best = min(best, (len(wrong), f"during {change}: pieces {wrong[:8]}"))
            change.apply(state, self.first)
        wrong = [
            self.first + at
            for at, (there, mark) in enumerate(zip(found, state, strict=True))
            if there != mark
        ]
        if wrong:
            best = min(best, (len(wrong), f"after all {len(self.changes)} changes: pieces {wrong[:8]}"))
            raise AssertionError(f"{name} shows no point in time of its origin; nearest {best[1]} differ")


class Region:
    """A `Region` has *count* pieces from *first* on; only one thread changes it."""

    def __init__(self, device: int, first: int, count: int) -> None:
        self.device = device
        self.first = first
        self.count = count
        self.marks = array("Q", [0]) * count
        self._lock = threading.Lock()
        self._change: RegionChange | None = None
        self._windows: list[Window] = []

    def held(self, first: int, count: int) -> "array[int]":
        """Return the stamps of *count* pieces from *first* on."""
        begin = first - self.first
        return self.marks[begin : begin + count]

    def begin(self, change: RegionChange) -> None:
        """Expect that *change* shows in snapshots, and in reads by others, from now on."""
        with self._lock:
            self._change = change
            for window in self._windows:
                window.changes.append(change)

    def end(self, change: RegionChange) -> None:
        """Expect that *change* shows in every read and snapshot from now on."""
        with self._lock:
            change.apply(self.marks, self.first)
            self._change = None

    def open_window(self) -> Window:
        """Begin to collect what a snapshot, or a read by another thread, may contain."""
        with self._lock:
            window = Window(self.first, self.marks[:], [self._change] if self._change else [])
            self._windows.append(window)
            return window

    def close_window(self, window: Window) -> None:
        """End the collection: the snapshot is taken, or the read is done."""
        with self._lock:
            self._windows[:] = [each for each in self._windows if each is not window]

    def assert_holds(self, data: bytes, first: int, name: str) -> None:
        """Check that *data*, read from *first* on, is what the region holds."""
        count = len(data) // PIECE
        expected = contents(self.held(first, count), first)
        if data == expected:
            return
        for number in range(count):
            there, right = (text[number * PIECE : (number + 1) * PIECE] for text in (data, expected))
            assert there == right, (
                f"{name}: piece {first + number} is {described(there)}; expected {described(right)}"
            )
        raise AssertionError(f"{name}: {len(data)} bytes instead of {len(expected)}")
