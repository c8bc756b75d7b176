"""`FaultPlan` decides which requests are struck by a fault, and by which one; it does no I/O.

A plan is an ordered list of faults. Each request is matched against one fault after the other. A fault counts
the requests that match it (operation, file, range). From the ``nth`` of them on it strikes, until it has
struck ``times`` of them; with a ``probability`` it strikes that share of them. The first fault that strikes
decides; the faults after it do not see the request. The draws of a probability come from its ``seed``, so the
same plan and the same requests give the same run. Only a rate reads a clock.

As a TOML file::

    [[fault]]
    operation = "punch"     # punch, zero, write, read, fsync, or any
    file = "images/*.img"   # a shell pattern of paths in the store (default: every file)
    offset = 0              # only requests that touch offset .. offset + length, in bytes (default: all);
    length = 1048576        #   not for fsync, which has no range
    nth = 3                 # the first match to strike (default: 1)
    times = 2               # number of matches in a row, or "always" (default: 1)
    action = "error"        # and the key that the action needs:
    errno = "EIO"

    [[fault]]
    operation = "any"
    probability = 0.1       # strike each match with this probability (default: 1); times is then "always"
    seed = 7                # of the draws (default: 0)
    action = "delay"
    seconds = 0.5
"""

import errno as errnos
import math
import random
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Literal, Self

from fuse_backing import plan_values
from fuse_backing.errors import FaultPlanError
from fuse_backing.near_names import did_you_mean
from fuse_backing.path_patterns import matches

MOST_FAULTS = 256
"""Largest number of faults in a plan."""

_LARGEST = (1 << 63) - 1


class Operation(StrEnum):
    """An `Operation` is the kind of a request; native/account/account.h numbers the kinds in this order."""

    PUNCH = "punch"
    ZERO = "zero"
    WRITE = "write"
    READ = "read"
    FSYNC = "fsync"
    TRUNCATE = "truncate"
    """A truncation is recorded, but no planned fault strikes it."""
    RELEASE = "release"
    """The removal of a file that frees its space is recorded, but no planned fault strikes it."""


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
    THROTTLE = "throttle"
    """A request is done later if the requests before it have used up the rate."""


STRUCK = tuple(each for each in Operation if each not in (Operation.TRUNCATE, Operation.RELEASE))
"""The operations that a planned fault can strike."""

_OPERATIONS_OF = {
    FaultKind.PARTIAL: (Operation.PUNCH, Operation.ZERO),
    FaultKind.LIE: (Operation.PUNCH, Operation.ZERO, Operation.FSYNC),
    FaultKind.FULL: (Operation.WRITE,),
}
_RATES = ("bytes_per_second", "operations_per_second")
_NEEDS: dict[FaultKind, tuple[str, ...]] = {
    FaultKind.ERROR: ("errno",),
    FaultKind.DELAY: ("seconds",),
    FaultKind.PARTIAL: ("bytes",),
    FaultKind.FULL: ("bytes",),
    FaultKind.THROTTLE: _RATES,
}
"""The keys of which an action needs at least one."""

_COUNTING = ("nth", "times", "probability", "seed")
_REFUSED = {
    FaultKind.FULL: (_COUNTING, "counts bytes"),
    FaultKind.THROTTLE: (_COUNTING[1:], "slows every request from the 'nth' on"),
}
"""The keys that make no sense for an action, with the reason."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A `Fault` is one checked entry of a plan. Sizes are bytes."""

    action: FaultKind
    """The action on a request that the fault strikes."""
    operation: Operation | Literal["any"]
    """The operation to strike, or `any`."""
    file: str = "*"
    """A shell pattern of paths in the store; ``*`` also matches a slash."""
    offset: int = 0
    """The first byte of the range that a request must touch."""
    length: int | None = None
    """The range's length in bytes; None for a range without an end."""
    nth: int = 1
    """The first matching request that is struck, counted from 1."""
    times: int | Literal["always"] = 1
    """The number of requests that are struck, or `always`, the default with a probability."""
    errno: str | None = None
    """The name of an errno, such as ``EIO``."""
    seconds: float | None = None
    """The delay, up to 3600."""
    bytes: int | None = None
    """For `partial` the bytes that are done; for `full` the bytes that are let through."""
    probability: float | None = None
    """The probability, 0 to 1, that a request is struck; None for every one."""
    seed: int = 0
    """The seed of the draws, a whole number."""
    bytes_per_second: float | None = None
    """For `throttle` the largest rate of bytes."""
    operations_per_second: float | None = None
    """For `throttle` the largest rate of requests."""

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """Read one entry. Raises FaultPlanError, whose text begins with *where* and gives the reason."""
        try:
            return cls._checked(plan_values.table_of(value))
        except (ValueError, TypeError) as error:
            raise FaultPlanError(f"{where}: {error}") from None

    @classmethod
    def _checked(cls, table: Mapping[str, Any]) -> Self:
        plan_values.check_keys(table, [field.name for field in fields(cls)])
        action = FaultKind(plan_values.choice(table, "action", [str(kind) for kind in FaultKind]))
        name = plan_values.choice(table, "operation", [*map(str, STRUCK), "any"])
        _check_combination(table, action, name)
        length, drawn = table.get("length"), table.get("probability") is not None
        always = table.get("times", "always" if drawn or action is FaultKind.THROTTLE else 1) == "always"
        return cls(
            action=action,
            operation="any" if name == "any" else Operation(name),
            file=plan_values.text(table, "file", "*"),
            offset=plan_values.count(table, "offset", 0, 0),
            length=None if length is None else plan_values.count(table, "length", 1, 1),
            nth=plan_values.count(table, "nth", 1, 1),
            times="always" if always else plan_values.count(table, "times", 1, 1),
            errno=plan_values.errno_name(table) if action is FaultKind.ERROR else None,
            seconds=plan_values.delay(table) if action is FaultKind.DELAY else None,
            bytes=plan_values.count(table, "bytes", 0, 0) if _NEEDS.get(action) == ("bytes",) else None,
            probability=plan_values.probability(table),
            seed=plan_values.count(table, "seed", 0, 0),
            bytes_per_second=plan_values.rate(table, "bytes_per_second"),
            operations_per_second=plan_values.rate(table, "operations_per_second"),
        )

    def to_json(self) -> dict[str, object]:
        """Return the entry as ``from_json`` reads it, without the keys at their default."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        defaults: dict[str, object] = {field.name: field.default for field in fields(self)}
        if self.probability is not None or self.action is FaultKind.THROTTLE:
            defaults["times"] = "always"
        return {name: value for name, value in values.items() if value != defaults[name]}

    def matches(self, operation: Operation, file: str, offset: int, length: int) -> bool:
        """Return whether the fault counts this request; an empty request touches its offset."""
        if self.operation not in ("any", operation) or not matches(file, self.file):
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
    """A `FaultPlan` has the active faults and the counts of each.

    Rates read *clock*, which returns seconds.
    """

    def __init__(self, faults: tuple[Fault, ...] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.faults = faults
        self.matched = [0] * len(faults)
        """Number of requests that each fault has counted."""
        self.struck = [0] * len(faults)
        """Number of requests that each fault has struck."""
        self._let_through = [0] * len(faults)
        # Two faults with the same seed draw different numbers: the fault's position is a part of the seed.
        self._draws = [random.Random(f"{fault.seed} {position}") for position, fault in enumerate(faults)]
        self._clock = clock
        self._free = [-math.inf] * len(faults)  # when a throttled request can be done without a wait

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Read a plan file. Raises FaultPlanError."""
        try:
            plan = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise FaultPlanError(f"not valid TOML: {error}") from None
        others = sorted(plan.keys() - {"fault"})
        if others:
            near = did_you_mean(others[0], ["fault"])
            raise FaultPlanError(f"a plan has [[fault]] tables and nothing else, not {others[0]!r}{near}")
        if not plan:
            raise FaultPlanError("the plan is empty; to remove all faults, run: fuse-backing faults clear")
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
            strike = self._strike(position, fault, length)
            if strike is not None:
                self.struck[position] += 1
                return strike
        return None

    def _strike(self, position: int, fault: Fault, length: int) -> Strike | None:
        match fault.action:
            case FaultKind.FULL:
                if self._let_through[position] + length > (fault.bytes or 0):
                    return Strike(fault.action, errnos.ENOSPC, 0.0, fault.bytes or 0)
                self._let_through[position] += length
                return None
            case FaultKind.THROTTLE:
                wait = self._wait(position, fault, length)
                return Strike(fault.action, seconds=wait) if wait > 0 else None
        if fault.probability is not None and self._draws[position].random() >= fault.probability:
            return None
        if self.matched[position] < fault.nth or self.struck[position] == fault.times:
            return None
        return Strike(fault.action, _number(fault.errno), fault.seconds or 0.0, fault.bytes or 0)

    def _wait(self, position: int, fault: Fault, length: int) -> float:
        """Return the seconds until a request may be done, and reserve the time that it takes at the rate."""
        if self.matched[position] < fault.nth:
            return 0.0
        now = self._clock()
        begin = max(now, self._free[position])
        self._free[position] = begin + max(
            length / fault.bytes_per_second if fault.bytes_per_second else 0.0,
            1 / fault.operations_per_second if fault.operations_per_second else 0.0,
        )
        return begin - now


def _check_combination(table: Mapping[str, Any], action: FaultKind, name: str) -> None:
    """Refuse keys that make no sense together. Raises ValueError."""
    allowed = _OPERATIONS_OF.get(action)
    if allowed is not None and name not in allowed:
        raise ValueError(f"action {str(action)!r} is for {' and '.join(allowed)}, not for {name!r}")
    given = {key for key, value in table.items() if value is not None}
    needed = _NEEDS.get(action, ())
    if needed and not given & set(needed):
        raise ValueError(f"action {str(action)!r} needs {' or '.join(map(repr, needed))}")
    for key in ("errno", "seconds", "bytes", *_RATES):
        if key in given and key not in needed:
            raise ValueError(f"action {str(action)!r} has no {key!r}")
    refused, reason = _REFUSED.get(action, ((), ""))
    for key in refused:
        if key in given:
            raise ValueError(f"action {str(action)!r} {reason}: remove {key!r}")
    if "seed" in given and "probability" not in given:
        raise ValueError("'seed' is for a 'probability', which is missing")
    if name == Operation.FSYNC:
        for key in ("offset", "length"):
            if key in given:
                raise ValueError(f"operation 'fsync' has no range: remove {key!r}")
        if "bytes_per_second" in given:
            raise ValueError("operation 'fsync' has no bytes: use 'operations_per_second'")


def _number(name: str | None) -> int:
    return 0 if name is None else int(getattr(errnos, name))
