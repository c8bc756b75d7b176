"""Reads the size of a thin device as containerd's configuration spells it (``base_image_size``). Pure."""

import re

from thinsim.errors import InvalidValueError
from thinsim.units import Bytes, parse_size

# go-units before 0.5, in containerd 1.6: an i may stand without a b. Later ones take all of Go's numbers.
_OLD = re.compile(r"(\d+(?:\.\d+)*) ?([kmgtp]?)i?b?", re.IGNORECASE | re.ASCII)
_HEXADECIMAL = re.compile(
    r"([+-]?0x(?=\.?[0-9a-f])[0-9a-f]*\.?[0-9a-f]*p[+-]?\d+)(.*)", re.IGNORECASE | re.ASCII
)
_BETWEEN_DIGITS = re.compile(r"(?<=\d)_(?=\d)", re.ASCII)
# Go lets one stand behind the 0x, too
_BETWEEN_HEXADECIMAL_DIGITS = re.compile(r"(?<=[0-9a-fx])_(?=[0-9a-f])", re.IGNORECASE | re.ASCII)


def parse_image_size(text: str) -> Bytes:
    """Read what go-units' ``RAMInBytes`` reads in any containerd: ``128Mb``, ``1.5GiB``, ``10 gb``, ``8Gi``.

    Beyond ``parse_size`` these are ``Gi`` without a b, ``1_000_000``, and hexadecimal numbers with an
    exponent. Raises InvalidValueError, also for what Go makes an undefined number of: infinity, no
    number, and more than 63 bits.
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
