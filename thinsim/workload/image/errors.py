"""An invalid image raises `InvalidImageError`; its parts raise `MalformedTarError` and `LimitError`."""

import os

from thinsim.errors import InvalidValueError

_LONGEST_MESSAGE = 2000


class InvalidImageError(InvalidValueError):
    """A container image is malformed or of an unsupported kind; the message names file and fault.

    Unprintable characters in *text*, which may come from the image, are escaped.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text, _LONGEST_MESSAGE))


class MalformedTarError(ValueError):
    """A tar is malformed; the message is a phrase to follow the stream's name, which its reader adds."""


class LimitError(ValueError):
    """Compressed data is undamaged but exceeds a limit; the message names the demand and the limit."""


def printable(text: str, most: int = 200) -> str:
    """Return *text* of an image with unprintable characters escaped, cut after *most* characters."""
    text = text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def shown(text: bytes | str) -> str:
    """Return *text* of an image quoted for a message: unprintable characters escaped, long text cut."""
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    return repr(text) if len(text) <= 200 else f"{text[:120]!r}... ({len(text)} characters)"
