"""`checked` checks the arguments of a fixture's call before the call begins, and explains a wrong one."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

from thinsim.did_you_mean import did_you_mean, unknown_name
from thinsim.errors import InvalidValueError
from thinsim.scenario.file.values import file_name, size_of

__tracebackhide__ = True
"""pytest shows a failure at the test's own line."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Class = TypeVar("_Class")


def _text(value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {value!r}")


def _key(value: object) -> None:
    _text(value)
    if not value:
        raise ValueError("must not be empty: it is the name of a snapshot")


def _file(value: object) -> None:
    _text(value)
    file_name(str(value))


def _layers(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"must be a whole number of at least 1, not {value!r}")


CHECKS: Mapping[str, Callable[[object], object]] = {
    "key": _key,
    "parent": _text,
    "commit.name": _key,
    "name": _file,
    "layers": _layers,
    "size": size_of,
    "at_most": size_of,
    "text": _text,
}
"""The check of each argument by its name, or by method and name where two methods differ. ValueError."""


def checked(call: str) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Return a decorator for a method that tests know as *call*.

    InvalidValueError names the call, the argument and the values that it can have.
    """

    def decorate(method: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        signature = inspect.signature(method)

        @wraps(method)
        def of_checked(*given: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
            __tracebackhide__ = True
            for name, value in _bound(call, signature, given, named).arguments.items():
                _check(call, name, value)
            return method(*given, **named)

        return of_checked

    return decorate


def fixture(name: str, fix: str) -> Callable[[type[_Class]], type[_Class]]:
    """Return a decorator for the class of the fixture *name*: its methods check their arguments.

    A call of the object itself, as if it made pools, is an error with *fix*. An unknown attribute is one with
    the nearest name.
    """

    def refuse(self: object, *given: object, **named: object) -> NoReturn:
        __tracebackhide__ = True
        raise InvalidValueError(f"{name} is an object, not a function (fix: {fix})")

    def explain(self: object, attribute: str) -> NoReturn:
        __tracebackhide__ = True
        known = [each for each in dir(self) if not each.startswith("_")]
        raise AttributeError(f"{name} has no {attribute!r}{did_you_mean(attribute, known)}", name=attribute)

    def decorate(kind: type[_Class]) -> type[_Class]:
        for member, value in list(vars(kind).items()):
            if inspect.isfunction(value) and not member.startswith("_"):
                setattr(kind, member, checked(f"{name}.{member}")(value))
        # Set here, and not in the classes, so that type checkers still find these mistakes.
        setattr(kind, "__call__", refuse)  # noqa: B010
        setattr(kind, "__getattr__", explain)  # noqa: B010
        return kind

    return decorate


def _check(call: str, name: str, value: object) -> None:
    check = CHECKS.get(f"{call.rpartition('.')[2]}.{name}") or CHECKS.get(name)
    if check is None:
        return
    try:
        check(value)
    except ValueError as error:
        raise InvalidValueError(f"{call}: {name}: {error}") from None


def _bound(
    call: str, signature: inspect.Signature, given: tuple[Any, ...], named: Mapping[str, Any]
) -> inspect.BoundArguments:
    """Return the arguments by their names. InvalidValueError for an unknown, missing or surplus one."""
    try:
        return signature.bind(*given, **named)
    except TypeError as error:
        names = [name for name in signature.parameters if name != "self"]
        unknown = [name for name in named if name not in names]
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        if unknown and inspect.Parameter.VAR_POSITIONAL in kinds:
            raise InvalidValueError(
                f"{call}: {unknown[0]!r} is a key of a dictionary (fix: {call}({dict(named)!r}))"
            ) from None
        if unknown:
            raise InvalidValueError(f"{call}: {unknown_name('argument', unknown[0], names)}") from None
        raise InvalidValueError(f"{call}: {error} (its arguments: {', '.join(names) or 'none'})") from None
