"""Events, totals and histograms are the values that a ledger returns; they need no C extension.

Sizes and offsets are bytes; times and durations are seconds. The control socket (``store_client``), the event
file and a scenario's report carry the form that ``to_json`` returns and ``from_json`` reads.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from fuse_backing.faults import FaultKind, Operation


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """A `LedgerEvent` records a change that can free space, or a request that a planned fault struck.

    Such changes are hole punches, zero ranges, truncations and releases of removed files. Sizes and offsets
    are bytes.
    """

    sequence: int
    """The event's number; events are numbered from 1 without gaps."""
    time: float
    """The time of the request, in seconds since the epoch."""
    file: str
    """The file's path in the store then; bytes that are not UTF-8 appear as surrogates (``os.fsdecode``)."""
    operation: Operation
    """The kind of request."""
    mode: int
    """The mode that fallocate(2) was called with."""
    offset: int
    """The first byte of the range; of a truncation the new size, of a release 0."""
    length: int
    """The length of the range; of a truncation the bytes that were cut off, of a release the file's size."""
    allocated: int
    """Bytes of the range that were allocated before."""
    freed: int
    """Bytes that the host freed."""
    errno: int
    """The errno that the caller got, 0 for success."""
    duration: float
    """Seconds that the host took."""
    fault: FaultKind | None = None
    """The kind of planned fault that struck the request, if one did."""

    def to_json(self) -> dict[str, object]:
        """Return the event as a JSON object."""
        return {name: getattr(self, name) for name in _EVENT_FIELDS}  # asdict would copy deeply

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """Read the object that ``to_json`` returned; ignore fields of a newer server. Raises KeyError."""
        known = {field.name: value[field.name] for field in fields(cls)}
        fault = known.pop("fault")
        return cls(
            **{**known, "operation": Operation(str(known["operation"]))},  # type: ignore[arg-type]
            fault=None if fault is None else FaultKind(str(fault)),
        )


_EVENT_FIELDS = tuple(field.name for field in fields(LedgerEvent))


@dataclass(frozen=True, slots=True)
class Missed:
    """A `Missed` replaces *count* events of a subscription that were overwritten before they were read."""

    count: int
    """The number of events that were lost."""


@dataclass(frozen=True, slots=True)
class Totals:
    """`Totals` are sums over events. Sizes are bytes.

    A request that failed adds to ``freed`` only the bytes that the host freed before it failed.
    """

    events: int = 0
    """The number of events."""
    punched_bytes: int = 0
    """Sum of the lengths of successful hole punches."""
    zeroed_bytes: int = 0
    """Sum of the lengths of successful zero ranges."""
    allocated: int = 0
    """Bytes of these ranges that were allocated before."""
    freed: int = 0
    """Bytes that the host freed."""
    errors: int = 0
    """Events whose caller got an error."""
    faults: int = 0
    """Number of events that a planned fault struck."""

    def __add__(self, other: "Totals") -> "Totals":
        """Return the sums over the events of both."""
        return Totals(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def __sub__(self, other: "Totals") -> "Totals":
        """Return the sums over the events that *other*, an earlier reading, lacks."""
        return Totals(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(self)))

    def to_json(self) -> dict[str, object]:
        """Return the totals as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, object]) -> Self:
        """Read the object that ``to_json`` returned. Raises KeyError."""
        return cls(**{field.name: value[field.name] for field in fields(cls)})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Bucket:
    """A `Bucket` counts the events that began in one stretch of a histogram, and their bytes."""

    events: int
    """Events that began in the bucket."""
    bytes: int
    """Bytes of their ranges that lie in the bucket."""
    freed: int
    """Bytes that the host freed, shared out over the buckets by length."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """A `Histogram` has equal buckets that begin at 0.

    *width* is in bytes (by offset) or seconds (by time); the ledger doubles it as needed.
    """

    width: float
    """The width of a bucket, in bytes or seconds."""
    buckets: tuple[Bucket, ...]
    """The buckets, from 0 on."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read the object that ``dataclasses.asdict`` made of a histogram. Raises KeyError."""
        return cls(float(value["width"]), tuple(Bucket(**bucket) for bucket in value["buckets"]))

    def __add__(self, other: "Histogram") -> "Histogram":
        """Return the sums of both, in buckets of the larger width, which is a multiple of the other."""
        if not self.buckets or not other.buckets:
            return self if self.buckets else other
        wide, narrow = (self, other) if self.width >= other.width else (other, self)
        times = round(wide.width / narrow.width)
        sums = [[each.events, each.bytes, each.freed] for each in wide.buckets]
        for number, bucket in enumerate(narrow.buckets):
            place = number // times
            while len(sums) <= place:
                sums.append([0, 0, 0])
            sums[place][0] += bucket.events
            sums[place][1] += bucket.bytes
            sums[place][2] += bucket.freed
        return Histogram(wide.width, tuple(Bucket(*each) for each in sums))


def totals_by_directory(files: Mapping[str, Totals]) -> dict[str, Totals]:
    """Return the sums of each directory over all files below it, from the sums of files by path.

    The store's own directory is ``.``; a name in parentheses counts only there.
    """
    sums: dict[str, Totals] = {}
    for path, totals in files.items():
        names = path.split("/")[:-1]
        for depth in range(len(names) + 1):
            directory = "/".join(names[:depth]) or "."
            sums[directory] = sums.get(directory, Totals()) + totals
    return dict(sorted(sums.items(), key=lambda item: ("" if item[0] == "." else item[0]).split("/")))
