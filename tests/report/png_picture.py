"""`read_picture` reads enough of a PNG to distinguish a picture from a blank, and light from dark."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Picture:
    """A `Picture` has 8 bits per colour; *filtered* has the lines of the file, each after its filter byte."""

    width: int
    height: int
    filtered: bytes

    @property
    def colors(self) -> int:
        """Return the number of distinct groups of three bytes in a sample of one in 997; a blank has few."""
        return len({self.filtered[at : at + 3] for at in range(1, len(self.filtered) - 3, 997)})

    @property
    def corner(self) -> tuple[int, int, int]:
        """Return red, green and blue of the first pixel, which no filter changes."""
        red, green, blue = self.filtered[1:4]
        return red, green, blue


def read_picture(path: Path) -> Picture:
    """Read a PNG file with 8 bits per colour."""
    data, position, packed = path.read_bytes(), 8, b""
    width, height, depth = struct.unpack(">IIB", data[16:25])
    assert depth == 8
    while position < len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        if kind == b"IDAT":
            packed += data[position + 8 : position + 8 + length]
        position += 12 + length
    return Picture(width, height, zlib.decompress(packed))
