"""`parse_image_size` parses ``base_image_size`` as containerd does. Pure."""

import re

from thinsim.errors import InvalidValueError
from thinsim.units import Bytes, parse_size

# go-units before 0.5 (containerd 1.6) accepts an i without a b. Later releases accept all of Go's numbers.
_OLD = re.compile(r"(\d+(?:\.\d+)*) ?([kmgtp]?)i?b?", re.IGNORECASE | re.ASCII)
_HEXADECIMAL = re.compile(
    r"([+-]?0x(?=\.?[0-9a-f])[0-9a-f]*\.?[0-9a-f]*p[+-]?\d+)(.*)", re.IGNORECASE | re.ASCII
)
_BETWEEN_DIGITS = re.compile(r"(?<=\d)_(?=\d)", re.ASCII)
# Go accepts an underscore right after the 0x.
_BETWEEN_HEXADECIMAL_DIGITS = re.compile(r"(?<=[0-9a-fx])_(?=[0-9a-f])", re.IGNORECASE | re.ASCII)


def parse_image_size(text: str) -> Bytes:
    """Parse any size that go-units' ``RAMInBytes`` accepts: ``128Mb``, ``1.5GiB``, ``10 gb``, ``8Gi``.

    Sizes that ``parse_size`` does not accept are ``Gi`` without a b, ``1_000_000``, and hexadecimal numbers
    with an exponent. Raise InvalidValueError for any other text, and for the sizes that Go converts to an
    undefined number: infinity, NaN, and more than 63 bits.
    """
    old = _OLD.fullmatch(text)
    if old is not None:
        return _parse(old[1] + old[2], text)
    hexadecimal = _HEXADECIMAL.fullmatch(_BETWEEN_HEXADECIMAL_DIGITS.sub("", text))
    if hexadecimal is not None:
        try:
            number = float.fromhex(hexadecimal[1])
        except OverflowError:
            raise InvalidValueError(f"invalid size: {text!r} does not fit 63 bits") from None
        return _parse(f"{number!r}{hexadecimal[2]}", text)
    return _parse(_BETWEEN_DIGITS.sub("", text), text)


def _parse(plain: str, text: str) -> Bytes:
    try:
        return parse_size(plain)
    except InvalidValueError as error:
        raise InvalidValueError(str(error).replace(repr(plain), repr(text))) from None
