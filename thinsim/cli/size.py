"""Sizes on the command line: ``0``, ``64K``, ``1.5GiB``."""

import click

from thinsim.errors import InvalidValueError
from thinsim.units import parse_size


class SizeType(click.ParamType):  # type: ignore[type-arg]
    """A click type over ``thinsim.units.parse_size``."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes; a usage error names what is wrong."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value))
        except InvalidValueError as error:
            self.fail(str(error), param, ctx)


SIZE = SizeType()
