"""A `SizeType` option reads sizes such as ``0``, ``64K`` and ``1.5GiB``; a bare number is in bytes."""

from dataclasses import dataclass

import click

from thinsim.errors import InvalidValueError
from thinsim.units import SECTOR_SIZE, format_size, parse_whole_size

UNITS = (
    "A size is a number of bytes, or a number with K, M, G, T or P, such as 64K or 1.5G. Units are powers "
    "of 1024 in every spelling."
)
"""The help of each command that takes a size ends with this paragraph."""


@dataclass(frozen=True)
class SizeType(click.ParamType):  # type: ignore[type-arg]
    """A `SizeType` reads bytes with `parse_whole_size`: from *least* to *most*, a multiple of *step*."""

    least: int = 0
    most: int = (1 << 63) - 1
    step: int = 1
    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the size in bytes, or raise a usage error."""
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
        return f"the size must be {multiple}, {format_size(self.least)}{at_most}"

    def _missing_unit(self, text: str) -> str:
        return " (without a unit such as K, M or G)" if text.strip().isdigit() and int(text) else ""


SIZE = SizeType()
DEVICE_SIZE = SizeType(SECTOR_SIZE, step=SECTOR_SIZE)
"""The size of a block device, in whole sectors."""
