"""A `Size`, a `Bound` or a `FileName` is a value of a scenario file for which TOML has no type."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from thinsim.errors import InvalidValueError
from thinsim.units import parse_whole_size

_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\s*\d+(\.\d+)? ?[kKmMgGtTpP]?i?[bB]?\s*$"},
    ],
    "description": "Bytes: a number, or a text with a binary unit, such as 64KiB, 512MB or 10G.",
}


class Strict(BaseModel):
    """A table of the file refuses unknown keys and converts no values.

    The docstrings of its fields are the descriptions in the JSON schema and in the reference for users.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


def size_of(value: object) -> int:
    """Return *value*, a number of bytes or a text such as ``64KiB``, as bytes. ValueError for others."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str):
        raise ValueError(f"a size is a whole number of bytes or a text such as 64KiB, not {value!r}")
    try:
        return parse_whole_size(value)
    except InvalidValueError as error:
        raise ValueError(str(error)) from None


Size = Annotated[int, BeforeValidator(size_of), WithJsonSchema(_SIZE_SCHEMA)]
"""Bytes."""


def _names(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[
    list[str],
    BeforeValidator(_names),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""One name or several."""


def file_name(value: str) -> str:
    """Return *value*. ValueError unless it is the name of a file: not empty, no path."""
    if not value or "/" in value or "\0" in value or value in (".", ".."):
        raise ValueError(f"{value!r} is no name of a file: use a name without '/', and not '.' or '..'")
    return value


FileName = Annotated[str, AfterValidator(file_name)]
"""The name of files in a snapshot. A path is refused, since it could lead out of the mount."""


class AmountLimits(Strict, title="Limits"):
    """A table of limits bounds a measured number of bytes, or a count. Each limit in it must hold."""

    equal: Size | None = None
    """The exact value."""
    at_least: Size | None = None
    """The least value that holds."""
    at_most: Size | None = None
    """The greatest value that holds."""
    same_as: str | None = None
    """The name of a phase: the value must be what it was at the end of that phase."""
    within: Size = 0
    """The largest allowed difference from `equal` or `same_as`."""


def _limits(value: object) -> Any:
    return value if isinstance(value, dict) else {"equal": value}


Bound = Annotated[
    AmountLimits,
    BeforeValidator(_limits),
    WithJsonSchema({"anyOf": [_SIZE_SCHEMA, AmountLimits.model_json_schema()]}),
]
"""Limits, or a plain size that the value must have exactly."""

Count = Annotated[int, Field(ge=1)]
