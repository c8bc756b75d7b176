"""Thin ids are 24-bit numbers that name the devices of a pool (dm-thin.c, read_dev_id)."""

import errno
from typing import NewType

from thinsim.errors import DeviceMapperError, InvalidValueError
from thinsim.thin.words import parse_number

ThinId = NewType("ThinId", int)

MAX_THIN_ID = (1 << 24) - 1


def check_thin_id(value: int) -> ThinId:
    """Return *value* as a thin id; raise InvalidValueError outside of 0..16777215."""
    if not 0 <= value <= MAX_THIN_ID:
        raise InvalidValueError(f"thin id {value} is outside of 0..{MAX_THIN_ID}")
    return ThinId(value)


def parse_thin_id(text: str, complaint: str) -> ThinId:
    """Parse a thin id; raise EINVAL with *complaint* (the kernel's text) and the bad value."""
    number = parse_number(text, MAX_THIN_ID)
    if number is None:
        raise DeviceMapperError(errno.EINVAL, f"{complaint}: {text!r}")
    return ThinId(number)
