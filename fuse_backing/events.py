"""Events, totals and histograms are the values in which a ledger speaks; they need no C extension.

Sizes and offsets are bytes, times and durations seconds. ``to_json`` and ``from_json`` are the form in which
the control socket (``store_client``), the file of events and a scenario's report carry them.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from fuse_backing.faults import FaultKind, Operation


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """A hole punch, zero range or truncation, or another request that a planned fault struck. In bytes."""

    sequence: int
    """Counts from 1 without gaps."""
    time: float
    """When it was done: seconds since the epoch."""
    file: str
    """The file's name at that time; bytes that are not UTF-8 as surrogates (``os.fsdecode``)."""
    operation: Operation
    """The kind of request."""
    mode: int
    """As given to fallocate(2)."""
    offset: int
    """The first byte of the range; of a truncation the new size."""
    length: int
    """The length of the range; of a truncation the bytes that were cut off."""
    allocated: int
    """Allocated in the range before."""
    freed: int
    """Given back to the host."""
    errno: int
    """0, or what the caller got."""
    duration: float
    """Seconds the host took."""
    fault: FaultKind | None = None
    """What was injected, if this request was struck by a planned fault."""

    def to_json(self) -> dict[str, object]:
        """Return the event as JSON can carry it."""
        return {name: getattr(self, name) for name in _EVENT_FIELDS}  # asdict would copy deeply

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """Read what ``to_json`` returned; fields that a newer server added are ignored. Raises KeyError."""
        known = {field.name: value[field.name] for field in fields(cls)}
        fault = known.pop("fault")
        return cls(
            **{**known, "operation": Operation(str(known["operation"]))},  # type: ignore[arg-type]
            fault=None if fault is None else FaultKind(str(fault)),
        )


_EVENT_FIELDS = tuple(field.name for field in fields(LedgerEvent))


@dataclass(frozen=True, slots=True)
class Missed:
    """Stands in a subscription where *count* events were overwritten before they were read."""

    count: int
    """The number of events that were lost."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over events. Sizes in bytes; of what was refused, only what the host freed before it failed."""

    events: int = 0
    """The number of events."""
    punched_bytes: int = 0
    """The lengths of successful hole punches."""
    zeroed_bytes: int = 0
    """The lengths of successful zero ranges."""
    allocated: int = 0
    """Of these lengths, what was allocated before."""
    freed: int = 0
    """Given back to the host."""
    errors: int = 0
    """Events whose caller got an error."""
    faults: int = 0
    """Events that a planned fault made, or made different."""

    def to_json(self) -> dict[str, object]:
        """Return the totals as JSON can carry them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """Read what ``to_json`` returned. Raises KeyError."""
        return cls(**{field.name: value[field.name] for field in fields(cls)})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Bucket:
    """One stretch of a histogram: how many events began there, and their bytes."""

    events: int
    """Events that began in the bucket."""
    bytes: int
    """Bytes of their ranges that lie in the bucket."""
    freed: int
    """Bytes that the host freed, shared out over the buckets by length."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Equal buckets from 0 on; *width* in bytes (by offset) or seconds (by time). It doubles as needed."""

    width: float
    """The width of a bucket, in bytes or seconds."""
    buckets: tuple[Bucket, ...]
    """The buckets, from 0 on."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what ``dataclasses.asdict`` made of it. Raises KeyError."""
        return cls(float(value["width"]), tuple(Bucket(**bucket) for bucket in value["buckets"]))
