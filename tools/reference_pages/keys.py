"""The keys of a table or object are the fields of the class that reads or writes it."""

import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tools.reference_pages.docstrings import field_docstrings
from tools.reference_pages.markdown import code, prose, table

_PLAIN = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
    Any: "any value",
    object: "any value",
}
REQUIRED = object()
"""The default of a key that has none."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key is a field's name, its annotated type, its default or REQUIRED, and its docstring."""

    name: str
    type: Any
    default: Any
    meaning: str


def keys_of(kind: type) -> list[Key]:
    """Return the keys of a pydantic model, a dataclass, a NamedTuple or a TypedDict, in order."""
    hints = get_type_hints(kind, include_extras=True)
    documented = field_docstrings(kind)
    return [
        Key(name, hints[name], default, prose(documented.get(name, ""))) for name, default in _defaults(kind)
    ]


def is_object(kind: Any) -> bool:
    """Return whether *kind* is a class whose fields are keys."""
    return isinstance(kind, type) and (
        is_dataclass(kind) or is_typeddict(kind) or issubclass(kind, BaseModel) or hasattr(kind, "_fields")
    )


def objects_below(kind: type) -> list[type]:
    """Return *kind* and the classes that its keys lead to, each once, parents first."""
    found: list[type] = []
    waiting = [kind]
    while waiting:
        each = waiting.pop(0)
        if each not in found:
            found.append(each)
            waiting += [below for key in keys_of(each) for below in _objects_in(key.type)]
    return found


@dataclass(frozen=True, slots=True)
class TypeWords:
    """The words for types: *named* has those of annotated ones, *link* makes the word for an object."""

    link: Callable[[type], str]
    named: tuple[tuple[Any, str], ...] = ()
    null: bool = True
    """False for TOML, which has no null."""

    def of(self, kind: Any) -> str:
        """Return the words for a type, as Markdown."""
        for known, words in self.named:
            if kind == known:
                return words
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Annotated, NotRequired):
            return self.of(arguments[0])
        if isinstance(kind, NewType):
            return self.of(kind.__supertype__)
        if origin in (Union, types.UnionType):
            kinds = [each for each in arguments if self.null or each is not type(None)]
            return _joined([words for each in kinds for words in _choices(each) or (self.of(each),)])
        if choices := _choices(kind):
            return _joined(choices)
        if is_object(kind):
            return self.link(kind)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return f"object of {self.of(arguments[1])} by name"
        if isinstance(origin, type) and issubclass(origin, Collection):
            return f"array of {self.of(arguments[0])}"
        return _PLAIN.get(kind, "text")


def key_table(kind: type, words: TypeWords, default: Callable[[Key], str] | None = None) -> str:
    """Return the table of the keys of *kind*; *default* gives the cell for a key's default."""
    rows = []
    for key in keys_of(kind):
        row = [code(key.name), words.of(key.type), key.meaning]
        rows.append(row if default is None else [*row[:2], default(key), row[2]])
    return table(("key", "type", *(["default"] if default else []), "meaning"), rows)


def _defaults(kind: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(kind):
        for each in fields(kind):
            made = each.default_factory
            value = made() if made is not MISSING else each.default
            yield each.name, REQUIRED if value is MISSING else value
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            value = field.get_default(call_default_factory=True)
            yield name, REQUIRED if value is PydanticUndefined else value
    elif is_typeddict(kind):
        yield from (
            (name, REQUIRED if name in kind.__required_keys__ else None) for name in kind.__annotations__
        )
    else:
        yield from ((name, kind._field_defaults.get(name, REQUIRED)) for name in kind._fields)


def _objects_in(kind: Any) -> Iterator[type]:
    if is_object(kind):
        yield kind
    for each in get_args(kind):
        yield from _objects_in(each)


def _choices(kind: Any) -> Sequence[str]:
    """Return the values that *kind* allows, as Markdown, if it lists them; the empty text is left out."""
    if get_origin(kind) is Literal:
        return [code(str(value)) for value in get_args(kind) if value != ""]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [code(str(each.value)) for each in kind]
    return ()


def _joined(words: Sequence[str]) -> str:
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} or {last}" if others else last
