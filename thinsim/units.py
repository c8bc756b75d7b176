"""Units that must not be mixed: bytes, 512-byte sectors, data blocks.

The kernel counts a device in sectors, a pool counts in data blocks, files count in bytes. Distinct
types let mypy refuse a sum of two of them.
"""

import re
from typing import NewType

from thinsim.errors import InvalidValueError

Bytes = NewType("Bytes", int)
Sectors = NewType("Sectors", int)
DataBlocks = NewType("DataBlocks", int)

SECTOR_SIZE = 512

_FACTORS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE | re.ASCII)


def sectors(size: int) -> Sectors:
    """Return *size* bytes in sectors; InvalidValueError unless it is a whole, non-negative number."""
    count, rest = divmod(size, SECTOR_SIZE)
    if rest or size < 0:
        raise InvalidValueError(f"{size} bytes is not a whole number of {SECTOR_SIZE}-byte sectors")
    return Sectors(count)


def bytes_of(count: Sectors) -> Bytes:
    """Return *count* sectors in bytes."""
    return Bytes(count * SECTOR_SIZE)


def parse_size(text: str) -> Bytes:
    """Read a size as containerd's configuration does: ``512MB``, ``10GiB``, ``64k``, ``4096``.

    Suffixes are binary whatever their spelling (``128Mb`` is 128 MiB), as in go-units'
    ``RAMInBytes``, which containerd's devmapper ``config.go`` uses. Raises InvalidValueError.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidValueError(
            f"invalid size: {text!r} (write a number with an optional unit, such as 512MB or 10GiB)"
        )
    number, suffix = match.groups()
    return Bytes(int(float(number) * _FACTORS[suffix.lower()]))


def format_size(size: int) -> str:
    """Return *size* bytes for people, in binary units with at most one decimal: ``1604`` -> ``1.6 KiB``."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" or value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")
