"""`read_tolerances` reads ``--leak-tolerance`` and ``--speed-tolerance``, for all scenarios or for one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from thinsim.cli.scenario_rounds import find_scenarios
from thinsim.did_you_mean import unknown_name
from thinsim.errors import InvalidValueError
from thinsim.regression.baseline import Baseline
from thinsim.regression.tolerances import (
    NO_LEAK_TOLERANCE,
    SPEED_TOLERANCE,
    Tolerances,
    by_scenario,
    parse_leak_tolerance,
    parse_speed_tolerance,
)

_Value = TypeVar("_Value")


def read_tolerances(
    leaks: Sequence[str], speeds: Sequence[str], compare_speed: bool, baseline: Path, stored: Baseline
) -> Tolerances:
    """Read the options. BadParameter names the option and the scenario or value that is wrong."""
    leak, leak_of = _read(leaks, "--leak-tolerance", parse_leak_tolerance, baseline, stored)
    speed, speed_of = _read(speeds, "--speed-tolerance", parse_speed_tolerance, baseline, stored)
    return Tolerances(
        speed=SPEED_TOLERANCE if speed is None else speed,
        leak=NO_LEAK_TOLERANCE if leak is None else leak,
        speed_of=speed_of,
        leak_of=leak_of,
        compare_speed=compare_speed,
    )


def _read(
    texts: Sequence[str], option: str, parse: Callable[[str], _Value], baseline: Path, stored: Baseline
) -> tuple[_Value | None, dict[str, _Value]]:
    try:
        default, of = by_scenario(texts)
        values: dict[str, _Value] = {}
        for name, value in of.items():
            key = _key(name, baseline, stored)
            if key in values:
                raise InvalidValueError(f"'{name}={value}': the scenario {key} has a value already")
            values[key] = parse(value)
        return None if default is None else parse(default), values
    except InvalidValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _key(name: str, baseline: Path, stored: Baseline) -> str:
    """Return the key of the scenario *name* of an option. InvalidValueError if there is no such scenario."""
    known = {word: each.key for each in stored.scenarios for word in (each.name, each.key)}
    if name in known:
        return known[name]
    found, _ = find_scenarios([name], baseline)
    if not found:
        raise InvalidValueError(
            unknown_name("scenario", name, sorted({each.key for each in stored.scenarios}))
        )
    return found[0].key
