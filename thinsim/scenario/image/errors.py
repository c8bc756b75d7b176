"""The one way in which an image is wrong."""

from thinsim.errors import InvalidValueError


class InvalidImageError(InvalidValueError):
    """A container image is malformed or of a kind that is not read; the text names file and fault."""
