"""How an image can be wrong."""

import os

from thinsim.errors import InvalidValueError


class InvalidImageError(InvalidValueError):
    """A container image is malformed or of a kind that is not read; the text names file and fault."""


class MalformedTarError(ValueError):
    """A tar is malformed. The text follows the name of the stream, which only its reader knows."""


class LimitError(ValueError):
    """Compressed data is whole and asks for more than is read; the text says what, and what is read."""


def shown(text: bytes | str) -> str:
    """Return *text* of an image in quotes for a message: what can not be printed escaped, long ones cut."""
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    return repr(text) if len(text) <= 200 else f"{text[:120]!r}... ({len(text)} characters)"
