"""The numbers and times of tar headers and pax records follow the rules of Go's ``archive/tar``.

containerd reads layers with that package (``strconv.go`` has these rules), so thinsim accepts and refuses the
same numbers. Python's ``int()`` accepts more: underscores, blanks, digits of other scripts.
"""

import re

from thinsim.workload.image.errors import MalformedTarError, shown

_OCTAL = re.compile(rb"[0-7]+")
_DECIMAL = re.compile(rb"[+-]?[0-9]+")
_FRACTION = re.compile(rb"[0-9]*")
_LIMIT = 1 << 63


def header_number(field: bytes, what: str) -> int:
    """Return the number in a header's *field*: octal digits, or base 256 if its first bit is set.

    Octal digits may have blanks and NULs around them; a field of only these is 0. Base 256, GNU's form of
    numbers too large for octal, is two's complement. Raises MalformedTarError, which names *what*, for
    malformed numbers and for numbers beyond 64 bits.
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
    """Return the number in a *field* of octal digits, the only form of a checksum."""
    digits = field.strip(b" \0").split(b"\0", 1)[0]
    if not digits:
        return 0
    if _OCTAL.fullmatch(digits) is None:
        raise MalformedTarError(
            f"has a header with a malformed {what}, {shown(digits)} (damaged, or not a tar)"
        )
    return int(digits, 8)


def decimal_number(text: bytes, what: str) -> int:
    """Return the number *text*, decimal digits with an optional sign.

    Raises MalformedTarError for other text and beyond 64 bits.
    """
    if _DECIMAL.fullmatch(text) is None:
        raise MalformedTarError(f"has a malformed {what} {shown(text)}")
    digits = text.lstrip(b"+-").lstrip(b"0")
    value = int(digits[:20] or b"0")  # 2^63 - 1 has 19 digits, and int() refuses some thousands
    if text.startswith(b"-"):
        value = -value
    if not -_LIMIT <= value < _LIMIT:
        raise MalformedTarError(f"has a {what} beyond 64 bits, {shown(text)}")
    return value


def decimal_time(text: bytes, what: str) -> int:
    """Return the pax time *text*, seconds since 1970 with an optional fraction, in nanoseconds."""
    whole, _, fraction = text.partition(b".")
    if _DECIMAL.fullmatch(whole) is None or _FRACTION.fullmatch(fraction) is None:
        raise MalformedTarError(f"has a malformed {what} {shown(text)}")
    seconds = decimal_number(whole, what)
    nanoseconds = int(fraction[:9].ljust(9, b"0"))
    return seconds * 10**9 + (-nanoseconds if whole.startswith(b"-") else nanoseconds)
