"""Says how an image can be wrong."""

import os

from thinsim.errors import InvalidValueError

_LONGEST_MESSAGE = 2000


class InvalidImageError(InvalidValueError):
    """A container image is malformed or of a kind that is not read; the text names file and fault.

    Whatever an image brought into the *text*, a terminal gets it as letters.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text, _LONGEST_MESSAGE))


class MalformedTarError(ValueError):
    """A tar is malformed. The text follows the name of the stream, which only its reader knows."""


class LimitError(ValueError):
    """Compressed data is whole and asks for more than is read; the text says what, and what is read."""


def printable(text: str, most: int = 200) -> str:
    """Return *text* of an image with escapes for what can't be printed, cut after *most* characters."""
    text = text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def shown(text: bytes | str) -> str:
    """Return *text* of an image in quotes for a message: what can not be printed escaped, long ones cut."""
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    return repr(text) if len(text) <= 200 else f"{text[:120]!r}... ({len(text)} characters)"
