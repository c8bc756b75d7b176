"""Reads numbers and times of tar headers and pax records by the rules of Go's ``archive/tar``.

containerd reads layers with that package (``strconv.go`` has these rules), so what it takes is taken here and
what it refuses is refused: ``int()`` of Python takes more (underscores, blanks, digits of other scripts).
"""

import re

from thinsim.workload.image.errors import MalformedTarError, shown

_OCTAL = re.compile(rb"[0-7]+")
_DECIMAL = re.compile(rb"[+-]?[0-9]+")
_FRACTION = re.compile(rb"[0-9]*")
_LIMIT = 1 << 63


def header_number(field: bytes, what: str) -> int:
    """Return the number in a header's *field*: octal digits, or base 256 where its first bit is set.

    Octal digits stand among blanks and NULs; a field of nothing else is 0. Base 256 is two's complement (GNU,
    for what octal has no room for). Raises MalformedTarError, which names *what*, also beyond 64 bits.
    """
    if field[0] & 0x80:
        bits = len(field) * 8 - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        if value >> (bits - 1):
            value -= 1 << bits
        if not -_LIMIT <= value < _LIMIT:
            raise MalformedTarError(f"has a header with a {what} beyond 64 bits")
        return value
    return octal_number(field, what)


def octal_number(field: bytes, what: str) -> int:
    """Return the number in a *field* of octal digits; a checksum has no other form."""
    digits = field.strip(b" \0").split(b"\0", 1)[0]
    if not digits:
        return 0
    if _OCTAL.fullmatch(digits) is None:
        raise MalformedTarError(
            f"has a header with a malformed {what}, {shown(digits)} (damaged, or not a tar)"
        )
    return int(digits, 8)


def decimal_number(text: bytes, what: str) -> int:
    """Return the number *text*, decimal digits with or without a sign; MalformedTarError beyond 64 bits."""
    if _DECIMAL.fullmatch(text) is None:
        raise MalformedTarError(f"has a malformed {what} {shown(text)}")
    digits = text.lstrip(b"+-").lstrip(b"0")
    value = int(digits[:20] or b"0")  # 19 digits are 2^63 - 1, and int() takes no more than some thousands
    if text.startswith(b"-"):
        value = -value
    if not -_LIMIT <= value < _LIMIT:
        raise MalformedTarError(f"has a {what} beyond 64 bits, {shown(text)}")
    return value


def decimal_time(text: bytes, what: str) -> int:
    """Return the pax time *text*, seconds since 1970 with or without a fraction, in nanoseconds."""
    whole, _, fraction = text.partition(b".")
    if _DECIMAL.fullmatch(whole) is None or _FRACTION.fullmatch(fraction) is None:
        raise MalformedTarError(f"has a malformed {what} {shown(text)}")
    seconds = decimal_number(whole, what)
    nanoseconds = int(fraction[:9].ljust(9, b"0"))
    return seconds * 10**9 + (-nanoseconds if whole.startswith(b"-") else nanoseconds)
