"""Reads sizes on the command line: ``0``, ``64K``, ``1.5GiB``; bytes without a unit."""

from dataclasses import dataclass

import click

from thinsim.errors import InvalidValueError
from thinsim.units import SECTOR_SIZE, format_size, parse_whole_size

UNITS = "Sizes: a number of bytes, or with K, M, G, T or P (64K, 1.5G); units are binary, however spelt."
"""For the help of a command that takes some."""


@dataclass(frozen=True)
class SizeType(click.ParamType):  # type: ignore[type-arg]
    """A click type over ``thinsim.units.parse_size``: bytes from *least* to *most*, a multiple of *step*."""

    least: int = 0
    most: int = (1 << 63) - 1
    step: int = 1
    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes; a usage error names what is wrong."""
        if isinstance(value, int):
            return value
        text = str(value)
        try:
            size = parse_whole_size(text)
        except InvalidValueError as error:
            self.fail(str(error), param, ctx)
        if size % self.step or not self.least <= size <= self.most:
            self.fail(f"{text} is {size} bytes{self._missing_unit(text)}: {self._range()}", param, ctx)
        return size

    def _range(self) -> str:
        multiple = f"a multiple of {format_size(self.step)}" if self.step > 1 else "bytes"
        at_most = f" to {format_size(self.most)}" if self.most < SizeType.most else " or more"
        return f"it has to be {multiple}, {format_size(self.least)}{at_most}"

    def _missing_unit(self, text: str) -> str:
        return " (no unit: 64K, 2G, ...)" if text.strip().isdigit() and int(text) else ""


SIZE = SizeType()
DEVICE_SIZE = SizeType(SECTOR_SIZE, step=SECTOR_SIZE)
"""Of a block device: whole sectors."""
