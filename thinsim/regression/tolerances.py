"""`Tolerances` limit how much more a scenario may leak or cost than its baseline. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from thinsim.errors import InvalidValueError
from thinsim.units import format_size, parse_size

SPEED_TOLERANCE = 1.25
"""The default: discards may cost this many times as much as in the baseline."""


@dataclass(frozen=True, slots=True)
class LeakTolerance:
    """A `LeakTolerance` is an amount, in bytes, or a share of what leaked in the baseline, in percent."""

    amount: float
    unit: Literal["bytes", "percent"]

    @property
    def text(self) -> str:
        """Return the tolerance as people write it."""
        return f"{self.amount:g} %" if self.unit == "percent" else format_size(int(self.amount))

    def blocks(self, leaked: int, block_bytes: int) -> int:
        """Return the tolerance in whole data blocks, where *leaked* blocks leaked in the baseline."""
        if self.unit == "percent":
            return math.floor(leaked * self.amount / 100)
        return int(self.amount) // block_bytes


NO_LEAK_TOLERANCE = LeakTolerance(0, "bytes")


@dataclass(frozen=True, slots=True)
class Tolerances:
    """`Tolerances` have a default of each kind, and the exceptions by the scenario's key."""

    speed: float = SPEED_TOLERANCE
    leak: LeakTolerance = NO_LEAK_TOLERANCE
    speed_of: Mapping[str, float] = field(default_factory=dict)
    leak_of: Mapping[str, LeakTolerance] = field(default_factory=dict)
    compare_speed: bool = True
    """False if the speed of discards is not compared at all."""

    def of(self, *keys: str) -> "Tolerances":
        """Return the tolerances of one scenario, whose *keys* are those of the run and of the baseline."""
        return Tolerances(
            speed=next((self.speed_of[key] for key in keys if key in self.speed_of), self.speed),
            leak=next((self.leak_of[key] for key in keys if key in self.leak_of), self.leak),
            compare_speed=self.compare_speed,
        )


def split_scenario(text: str) -> tuple[str, str]:
    """Split ``SCENARIO=VALUE``; the scenario is empty if *text* is a value alone."""
    scenario, separator, value = text.rpartition("=")
    if separator and not scenario:
        raise InvalidValueError(f"{text!r}: no scenario is named before the '='")
    return scenario, value


def parse_speed_tolerance(text: str) -> float:
    """Read a ratio above 1 (``1.25``) or percent (``25%``). InvalidValueError for anything else."""
    number = _number(text.removesuffix("%"), text, "a ratio such as 1.25, or percent such as 25%")
    ratio = 1 + number / 100 if text.endswith("%") else number
    if not ratio > 1:
        raise InvalidValueError(f"{text!r}: the tolerance must be a ratio above 1, or percent above 0%")
    return ratio


def parse_leak_tolerance(text: str) -> LeakTolerance:
    """Read a size (``1M``) or percent (``2%``). InvalidValueError for anything else."""
    if text.endswith("%"):
        share = _number(text.removesuffix("%"), text, "a size such as 1M, or percent such as 2%")
        if share < 0:
            raise InvalidValueError(f"{text!r}: the tolerance must not be negative")
        return LeakTolerance(share, "percent")
    return LeakTolerance(parse_size(text), "bytes")


def by_scenario(texts: Sequence[str]) -> tuple[str | None, dict[str, str]]:
    """Return the default among *texts*, or None, and the values by scenario.

    InvalidValueError if a scenario, or the default, is there twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        scenario, value = split_scenario(text)
        if scenario in found:
            raise InvalidValueError(f"{text!r}: {scenario or 'the default'} has the value {found[scenario]}")
        found[scenario] = value
    return found.pop("", None), found


def _number(digits: str, text: str, what: str) -> float:
    try:
        number = float(digits)
    except ValueError:
        raise InvalidValueError(f"{text!r} is not {what}") from None
    if not math.isfinite(number):
        raise InvalidValueError(f"{text!r} is not {what}")
    return number
