"""`unquoted` reads quoted text: Go's string literals, with ``/`` and ``|`` as further quotes for patterns.

It follows containerd ``pkg/filters/quote.go``. Escapes may name bytes (``\\xc3\\xa9``). Bytes that are
not UTF-8 become lone surrogates (surrogateescape) and so equal no valid text.
"""

import re

_SIMPLE = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92}
_REPLACEMENT = "\ufffd"
# The scanner has checked that one of these or the quote itself follows each backslash.
_PART = re.compile(
    r"\\x(?P<byte>[0-9a-fA-F]{2})|\\u(?P<short>[0-9a-fA-F]{4})|\\U(?P<long>[0-9a-fA-F]{8})"
    r"|\\(?P<octal>[0-7]{3})|\\(?P<letter>.)|(?P<plain>[^\\]+)",
    re.DOTALL,
)


def unquoted(text: str) -> str:
    """Return the text that the quoted *text* represents. Raise ValueError for an invalid character number."""
    return b"".join(_bytes_of(part) for part in _PART.finditer(text[1:-1])).decode(errors="surrogateescape")


def _bytes_of(part: re.Match[str]) -> bytes:
    match part.lastgroup:
        case "plain":
            return part["plain"].encode()
        case "letter":
            code = _SIMPLE.get(part["letter"])
            return part["letter"].encode() if code is None else bytes([code])
        case "byte":
            return bytes([int(part["byte"], 16)])
        case "octal":
            code = int(part["octal"], 8)
            if code > 0xFF:
                raise ValueError("quote syntax error")
            return bytes([code])
    code = int(part["short"] or part["long"], 16)
    if code > 0x10FFFF:
        raise ValueError("quote syntax error")
    return (_REPLACEMENT if 0xD800 <= code < 0xE000 else chr(code)).encode()
