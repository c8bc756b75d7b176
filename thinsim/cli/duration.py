"""A `DurationType` option reads times such as ``50ms``, ``0.5s`` and ``2``; a bare number is in seconds."""

import re
from dataclasses import dataclass

import click

_FORM = re.compile(r"(\d+\.?\d*|\.\d+) ?(ms|s|)", re.ASCII)


@dataclass(frozen=True)
class DurationType(click.ParamType):  # type: ignore[type-arg]
    """A `DurationType` reads seconds, from *least* to *most*."""

    least: float
    most: float
    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the time in seconds, or raise a usage error."""
        if isinstance(value, float):
            return value
        found = _FORM.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no duration: write 50ms or 0.5s", param, ctx)
        seconds = float(found[1]) / (1000 if found[2] == "ms" else 1)
        if not self.least <= seconds <= self.most:
            self.fail(f"{value} is not from {self.least:g}s to {self.most:g}s", param, ctx)
        return seconds
