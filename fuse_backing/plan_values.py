"""These functions read the values of a fault plan's keys.

Each raises ValueError or TypeError with the reason.
"""

import errno as errnos
import math
from collections.abc import Mapping
from typing import Any

from fuse_backing.near_names import did_you_mean

LONGEST_DELAY = 3600.0
"""Longest delay, in seconds."""

_LARGEST = (1 << 63) - 1
_LARGEST_ERRNO = 999  # libfuse accepts no larger one: lib/fuse_lowlevel.c


def table_of(value: object) -> Mapping[str, Any]:
    """Return *value*, which must be a table."""
    if not isinstance(value, dict):
        raise TypeError("must be a table")
    return value


def check_keys(table: Mapping[str, Any], known: list[str]) -> None:
    """Refuse a key that is not *known*."""
    for key in sorted(table.keys() - set(known)):
        raise ValueError(f"unknown key {key!r}{did_you_mean(key, known)}")


def choice(table: Mapping[str, Any], key: str, choices: list[str]) -> str:
    """Return the value of *key*, which must be one of *choices*."""
    value = table.get(key)
    if value not in choices:
        given = "is missing" if value is None else f"is {value!r}"
        near = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise ValueError(f"{key!r} {given}; it must be one of {', '.join(choices)}{near}")
    return str(value)


def text(table: Mapping[str, Any], key: str, default: str) -> str:
    """Return the string of *key*."""
    value = table.get(key, default)
    if not isinstance(value, str):
        raise TypeError(f"{key!r} must be a string, not {value!r}")
    return value


def count(table: Mapping[str, Any], key: str, default: int, least: int) -> int:
    """Return the whole number of *key*, which must be at least *least* and below 2**63."""
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _LARGEST:
        raise ValueError(f"{key!r} must be a whole number of at least {least}, not {value!r}")
    return value


def delay(table: Mapping[str, Any]) -> float:
    """Return the seconds of a delay."""
    return _number(table["seconds"], "seconds", f"from 0 to {LONGEST_DELAY:.0f}", 0, LONGEST_DELAY)


def probability(table: Mapping[str, Any]) -> float | None:
    """Return the probability, None if there is none."""
    value = table.get("probability")
    return None if value is None else _number(value, "probability", "from 0 to 1", 0, 1)


def rate(table: Mapping[str, Any], key: str) -> float | None:
    """Return the rate per second of *key*, None if there is none."""
    value = table.get(key)
    return None if value is None else _number(value, key, "above 0", math.ulp(0), _LARGEST)


def errno_name(table: Mapping[str, Any]) -> str:
    """Return the name of an errno that a server may answer."""
    name = table["errno"]
    number = getattr(errnos, name, None) if isinstance(name, str) and name.isupper() else None
    if not isinstance(number, int) or number > _LARGEST_ERRNO:
        raise ValueError(f"'errno' must be a name such as EIO, not {name!r}")
    if number == errnos.ENOSYS:
        raise ValueError("'errno' ENOSYS would end the operation for the whole mount; use EOPNOTSUPP")
    return str(name)


def _number(value: object, key: str, words: str, least: float, most: float) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{key!r} must be a number {words}, not {value!r}")
    return float(value)
