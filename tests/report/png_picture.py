"""As much of PNG as it takes to tell a picture from a blank, and light from dark."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Picture:
    """An 8-bit picture; *filtered* are its lines as the file has them, each after a byte for its filter."""

    width: int
    height: int
    filtered: bytes

    @property
    def colors(self) -> int:
        """Distinct groups of three filtered bytes, of one in a thousand: a blank has a handful."""
        return len({self.filtered[at : at + 3] for at in range(1, len(self.filtered) - 3, 997)})

    @property
    def corner(self) -> tuple[int, int, int]:
        """Red, green, blue of the first pixel, which no filter changes: there is none before it."""
        red, green, blue = self.filtered[1:4]
        return red, green, blue


def read_picture(path: Path) -> Picture:
    """Read a PNG."""
    data, position, packed = path.read_bytes(), 8, b""
    width, height, depth = struct.unpack(">IIB", data[16:25])
    assert depth == 8
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        if kind == b"IDAT":
            packed += data[position + 8 : position + 8 + length]
        position += 12 + length
    return Picture(width, height, zlib.decompress(packed))
