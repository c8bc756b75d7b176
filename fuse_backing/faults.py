"""`FaultPlan` decides which requests are struck by a fault, and by which one; it does no I/O.

A plan is an ordered list of faults. Each request is matched against one fault after the other. A fault counts
the requests that match it (operation, file, range) and strikes those numbered ``nth`` to ``nth + times - 1``.
The first fault that strikes decides; the faults after it do not see the request. Nothing is random and no
clock is read: the same plan and the same requests give the same run.

As a TOML file::

    [[fault]]
    operation = "punch"     # punch, zero, write, read, fsync, or any
    file = "disk*"          # a shell pattern of names (default: every file)
    offset = 0              # only requests that touch offset .. offset + length, in bytes (default: all);
    length = 1048576        #   not for fsync, which has no range
    nth = 3                 # the first match to strike (default: 1)
    times = 2               # number of matches in a row, or "always" (default: 1)
    action = "error"        # and the key that the action needs:
    errno = "EIO"
"""

import errno as errnos
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Literal, Self

from fuse_backing.errors import FaultPlanError

MOST_FAULTS = 256
"""Largest number of faults in a plan."""

LONGEST_DELAY = 3600.0
"""Longest delay, in seconds."""

_LARGEST = (1 << 63) - 1
_LARGEST_ERRNO = 999  # libfuse accepts no larger one: lib/fuse_lowlevel.c


class Operation(StrEnum):
    """An `Operation` is the kind of a request; native/account/account.h numbers the kinds in this order."""

    PUNCH = "punch"
    ZERO = "zero"
    WRITE = "write"
    READ = "read"
    FSYNC = "fsync"
    TRUNCATE = "truncate"
    """A truncation is recorded, but no planned fault strikes it."""


class FaultKind(StrEnum):
    """A `FaultKind` is the effect of a fault on a request."""

    ERROR = "error"
    """The request is not done; the caller gets ``errno``."""
    DELAY = "delay"
    """The request is done ``seconds`` later."""
    PARTIAL = "partial"
    """Only the first ``bytes`` of the range are punched or zeroed; the caller gets success for all of it."""
    LIE = "lie"
    """The request is not done; the caller gets success."""
    FULL = "full"
    """A write that would bring the total beyond ``bytes`` fails with ENOSPC, until the plan is removed."""
    CRASH = "crash"
    """The server kills itself (SIGKILL) before the request is done."""


STRUCK = tuple(operation for operation in Operation if operation is not Operation.TRUNCATE)
"""The operations that a planned fault can strike."""

_OPERATIONS_OF = {
    FaultKind.PARTIAL: (Operation.PUNCH, Operation.ZERO),
    FaultKind.LIE: (Operation.PUNCH, Operation.ZERO, Operation.FSYNC),
    FaultKind.FULL: (Operation.WRITE,),
}
_NEEDS = {
    FaultKind.ERROR: "errno",
    FaultKind.DELAY: "seconds",
    FaultKind.PARTIAL: "bytes",
    FaultKind.FULL: "bytes",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A `Fault` is one checked entry of a plan. Sizes are bytes."""

    action: FaultKind
    """The action on a request that the fault strikes."""
    operation: Operation | Literal["any"]
    """The operation to strike, or `any`."""
    file: str = "*"
    """A shell pattern of file names."""
    offset: int = 0
    """The first byte of the range that a request must touch."""
    length: int | None = None
    """The range's length in bytes; None for a range without an end."""
    nth: int = 1
    """The first matching request that is struck, counted from 1."""
    times: int | Literal["always"] = 1
    """The number of requests in a row that are struck, or `always`."""
    errno: str | None = None
    """The name of an errno, such as ``EIO``."""
    seconds: float | None = None
    """The delay, up to 3600."""
    bytes: int | None = None
    """For `partial` the bytes that are done; for `full` the bytes that are let through."""

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """Read one entry. Raises FaultPlanError, whose text begins with *where* and gives the reason."""
        try:
            return cls._checked(_table(value))
        except (ValueError, TypeError) as error:
            raise FaultPlanError(f"{where}: {error}") from None

    @classmethod
    def _checked(cls, table: Mapping[str, Any]) -> Self:
        unknown = table.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown key {sorted(unknown)[0]!r}")
        action = FaultKind(_choice(table, "action", [str(kind) for kind in FaultKind]))
        name = _choice(table, "operation", [*map(str, STRUCK), "any"])
        allowed = _OPERATIONS_OF.get(action)
        if allowed is not None and name not in allowed:
            raise ValueError(f"action {str(action)!r} is for {' and '.join(allowed)}, not for {name!r}")
        for key in ("errno", "seconds", "bytes"):
            if (key in table and table[key] is not None) != (_NEEDS.get(action) == key):
                raise ValueError(
                    f"action {str(action)!r} {'needs' if _NEEDS.get(action) == key else 'has no'} {key!r}"
                )
        if action is FaultKind.FULL and ("nth" in table or "times" in table):
            raise ValueError("action 'full' counts bytes: remove 'nth' and 'times'")
        if name == Operation.FSYNC and ("offset" in table or "length" in table):
            raise ValueError("operation 'fsync' has no range: remove 'offset' and 'length'")
        length = table.get("length")
        return cls(
            action=action,
            operation="any" if name == "any" else Operation(name),
            file=_text(table, "file", "*"),
            offset=_count(table, "offset", 0, 0),
            length=None if length is None else _count(table, "length", 1, 1),
            nth=_count(table, "nth", 1, 1),
            times="always" if table.get("times") == "always" else _count(table, "times", 1, 1),
            errno=_errno_name(table) if action is FaultKind.ERROR else None,
            seconds=_seconds(table) if action is FaultKind.DELAY else None,
            bytes=_count(table, "bytes", 0, 0) if _NEEDS.get(action) == "bytes" else None,
        )

    def to_json(self) -> dict[str, object]:
        """Return the entry as ``from_json`` reads it, without the keys at their default."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in values.items() if value != defaults[name]}

    def matches(self, operation: Operation, file: str, offset: int, length: int) -> bool:
        """Return whether the fault counts this request; an empty request touches its offset."""
        if self.operation not in ("any", operation) or not fnmatchcase(file, self.file):
            return False
        if operation is Operation.FSYNC:
            return True
        end = _LARGEST if self.length is None else self.offset + self.length
        return offset < end and offset + max(length, 1) > self.offset


@dataclass(frozen=True, slots=True)
class Strike:
    """A `Strike` is the effect that a plan has on one request."""

    kind: FaultKind
    errno: int = 0
    seconds: float = 0.0
    bytes: int = 0


class FaultPlan:
    """A `FaultPlan` has the active faults and the counts of each."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self.faults = faults
        self.matched = [0] * len(faults)
        """Number of requests that each fault has counted."""
        self.struck = [0] * len(faults)
        """Number of requests that each fault has struck."""
        self._let_through = [0] * len(faults)

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read a plan file. Raises FaultPlanError."""
        try:
            plan = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise FaultPlanError(f"not valid TOML: {error}") from None
        if plan.keys() != {"fault"}:
            raise FaultPlanError("a plan must be a list of [[fault]] tables, with nothing else")
        return cls.from_json(plan["fault"])

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read a list of faults. Raises FaultPlanError."""
        if not isinstance(value, list) or not 1 <= len(value) <= MOST_FAULTS:
            raise FaultPlanError(f"a plan must have 1 to {MOST_FAULTS} faults")
        return cls(tuple(Fault.from_json(each, f"fault {number}") for number, each in enumerate(value, 1)))

    def to_json(self) -> list[dict[str, object]]:
        """Return the faults as ``from_json`` reads them."""
        return [fault.to_json() for fault in self.faults]

    @property
    def operations(self) -> frozenset[Operation]:
        """Return the operations of which the plan must see each request."""
        return frozenset(
            each
            for fault in self.faults
            for each in (STRUCK if fault.operation == "any" else (Operation(fault.operation),))
        )

    def strike(self, operation: Operation, file: str, offset: int = 0, length: int = 0) -> Strike | None:
        """Count one request, and return the strike on it, or None."""
        for position, fault in enumerate(self.faults):
            if not fault.matches(operation, file, offset, length):
                continue
            self.matched[position] += 1
            if self._strikes(position, fault, length):
                self.struck[position] += 1
                number = errnos.ENOSPC if fault.action is FaultKind.FULL else _number(fault.errno)
                return Strike(fault.action, number, fault.seconds or 0.0, fault.bytes or 0)
        return None

    def _strikes(self, position: int, fault: Fault, length: int) -> bool:
        if fault.action is FaultKind.FULL:
            if self._let_through[position] + length > (fault.bytes or 0):
                return True
            self._let_through[position] += length
            return False
        number = self.matched[position]
        return number >= fault.nth and (fault.times == "always" or number < fault.nth + fault.times)


def _number(name: str | None) -> int:
    return 0 if name is None else int(getattr(errnos, name))


def _table(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("must be a table")
    return value


def _choice(table: Mapping[str, Any], key: str, choices: list[str]) -> str:
    value = table.get(key)
    if value not in choices:
        given = "is missing" if value is None else f"is {value!r}"
        raise ValueError(f"{key!r} {given}; it must be one of {', '.join(choices)}")
    return str(value)


def _text(table: Mapping[str, Any], key: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise TypeError(f"{key!r} must be a string, not {value!r}")
    return value


def _count(table: Mapping[str, Any], key: str, default: int, least: int) -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _LARGEST:
        raise ValueError(f"{key!r} must be a whole number of at least {least}, not {value!r}")
    return value


def _seconds(table: Mapping[str, Any]) -> float:
    value = table["seconds"]
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= LONGEST_DELAY:
        raise ValueError(f"'seconds' must be a number from 0 to {LONGEST_DELAY:.0f}, not {value!r}")
    return float(value)


def _errno_name(table: Mapping[str, Any]) -> str:
    name = table["errno"]
    number = getattr(errnos, name, None) if isinstance(name, str) and name.isupper() else None
    if not isinstance(number, int) or number > _LARGEST_ERRNO:
        raise ValueError(f"'errno' must be a name such as EIO, not {name!r}")
    if number == errnos.ENOSYS:
        raise ValueError("'errno' ENOSYS would end the operation for the whole mount; use EOPNOTSUPP")
    return str(name)
