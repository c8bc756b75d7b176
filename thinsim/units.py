"""Bytes, 512-byte sectors and data blocks have distinct types, so that they cannot be mixed.

The kernel counts a device in sectors, a pool counts in data blocks, files count in bytes. mypy refuses
a sum of two of these types.
"""

import re
from typing import NewType

from thinsim.errors import InvalidValueError

Bytes = NewType("Bytes", int)
Sectors = NewType("Sectors", int)
DataBlocks = NewType("DataBlocks", int)

SECTOR_SIZE = 512

_FACTORS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_SUFFIX = re.compile(r"b?|[kmgtp](i?b)?", re.IGNORECASE)
_HINT = "(write a number with an optional unit, such as 512MB or 10GiB)"


def sectors(size: int) -> Sectors:
    """Return *size* bytes in sectors. InvalidValueError unless the result is whole and not negative."""
    count, rest = divmod(size, SECTOR_SIZE)
    if rest or size < 0:
        raise InvalidValueError(f"{size} bytes is not a whole number of {SECTOR_SIZE}-byte sectors")
    return Sectors(count)


def bytes_of(count: Sectors) -> Bytes:
    """Return *count* sectors in bytes."""
    return Bytes(count * SECTOR_SIZE)


def parse_size(text: str) -> Bytes:
    """Read a size as containerd's configuration does: ``512MB``, ``10GiB``, ``64k``, ``1.5 t``, ``4096``.

    The grammar is that of go-units' ``RAMInBytes`` (size.go), which containerd's devmapper ``config.go``
    uses, without Go's hexadecimal numbers: suffixes are binary whatever their spelling (``128Mb`` is
    128 MiB), and one space may precede them. Raises InvalidValueError.
    """
    number, blank, suffix = text.partition(" ")
    if not blank:
        end = max((place for place, letter in enumerate(text) if letter in "0123456789."), default=-1) + 1
        number, suffix = text[:end], text[end:]
    if not _NUMBER.fullmatch(number):
        raise InvalidValueError(f"invalid size: {text!r} {_HINT}")
    value = float(number)
    if value < 0:
        raise InvalidValueError(f"invalid size: {text!r} is negative")
    if not _SUFFIX.fullmatch(suffix):
        raise InvalidValueError(f"invalid size: {text!r}: {suffix!r} is not a unit {_HINT}")
    value *= _FACTORS.get(suffix[:1].lower(), 1)
    if value >= 1 << 63:
        raise InvalidValueError(f"invalid size: {text!r} does not fit 63 bits")
    return Bytes(int(value))


def parse_whole_size(text: str) -> Bytes:
    """Read a size as :func:`parse_size` does, but refuse a fraction of bytes: its unit is missing."""
    size = parse_size(text)
    if "." in text and text.strip()[-1] in "0123456789.":
        raise InvalidValueError(f"{text!r} has no unit (write {text}K, {text}M or {text}G)")
    return size


def format_size(size: int) -> str:
    """Return *size* bytes for people, in binary units with at most one decimal: ``1604`` -> ``1.6 KiB``."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" or value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")
