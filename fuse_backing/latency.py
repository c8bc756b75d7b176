"""`OperationLatency` has the latencies of one kind of request: counts in log-linear buckets, and percentiles.

A latency begins when the server has read a request from the kernel, and ends when the answer is written. The
wait of the request in the kernel's queue is not a part of it. A bucket is at most 1/32 wide, so a percentile
is at most 3.2 % too large (``native/latency/latency.h``). Times are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

# The opcodes of FUSE (include/uapi/linux/fuse.h), and the kinds of native/latency/latency.h from 64 on.
_NAMES = {
    1: "lookup",
    3: "getattr",
    4: "setattr",
    5: "readlink",
    6: "symlink",
    8: "mknod",
    9: "mkdir",
    10: "unlink",
    11: "rmdir",
    12: "rename",
    13: "link",
    14: "open",
    15: "read",
    16: "write",
    17: "statfs",
    18: "release",
    20: "fsync",
    21: "setxattr",
    22: "getxattr",
    23: "listxattr",
    24: "removexattr",
    25: "flush",
    27: "opendir",
    28: "readdir",
    29: "releasedir",
    30: "fsyncdir",
    31: "getlk",
    32: "setlk",
    33: "setlkw",
    34: "access",
    35: "create",
    37: "bmap",
    39: "ioctl",
    40: "poll",
    44: "readdirplus",
    45: "rename2",
    46: "lseek",
    47: "copy_file_range",
    48: "setupmapping",
    49: "removemapping",
    50: "syncfs",
    51: "tmpfile",
    52: "statx",
    53: "copy_file_range_64",
    64: "punch",
    65: "zero",
    66: "allocate",
    67: "truncate",
}

OPERATION_NAMES = tuple(_NAMES.values())
"""The names of all kinds of requests."""

SHOWN_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}
"""The percentiles of tables and JSON documents, by key."""

_NANO = 1e9


@dataclass(frozen=True, slots=True)
class OperationLatency:
    """An `OperationLatency` has the latencies of the requests of one kind, in seconds."""

    count: int
    """The number of requests."""
    natively: int
    """The number of these requests that the server answered in C, without Python."""
    total: float
    """The sum of the latencies."""
    longest: float
    """The longest latency."""
    buckets: tuple[tuple[float, int], ...]
    """Pairs of the largest latency of a bucket and its number of requests, without empty buckets."""

    def percentile(self, share: float) -> float:
        """Return the latency that *share* of the requests (0 to 1) did not exceed; 0 without requests."""
        seen = 0
        for bound, count in self.buckets:
            seen += count
            if seen >= share * self.count:
                return min(bound, self.longest)
        return self.longest

    @property
    def mean(self) -> float:
        """Return the mean latency, 0 without requests."""
        return self.total / self.count if self.count else 0.0

    def percentiles(self) -> dict[str, float]:
        """Return the mean, the usual percentiles and the longest latency, by the keys of JSON documents."""
        found = {key: self.percentile(share) for key, share in SHOWN_PERCENTILES.items()}
        return {"mean": self.mean, **found, "longest": self.longest}

    def since(self, before: "OperationLatency | None", longest: float | None = None) -> "OperationLatency":
        """Return the latencies after the reading *before*.

        *longest* is the longest of them. Without it, it is the bound of the last bucket.
        """
        if before is None:
            return self
        counted = dict(before.buckets)
        buckets = tuple(
            (bound, count - counted.get(bound, 0))
            for bound, count in self.buckets
            if count > counted.get(bound, 0)
        )
        last = min(buckets[-1][0], self.longest) if buckets else 0.0
        return OperationLatency(
            self.count - before.count,
            self.natively - before.natively,
            self.total - before.total,
            last if longest is None else longest,
            buckets,
        )

    def to_json(self) -> dict[str, object]:
        """Return the latencies as a JSON object."""
        return {
            "count": self.count,
            "natively": self.natively,
            "total": self.total,
            "longest": self.longest,
            "buckets": [list(pair) for pair in self.buckets],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read the object that ``to_json`` returned. Raises KeyError."""
        buckets = tuple((float(bound), int(count)) for bound, count in value["buckets"])
        return cls(
            int(value["count"]),
            int(value["natively"]),
            float(value["total"]),
            float(value["longest"]),
            buckets,
        )


def latency_of(
    count: int, natively: int, total: int, longest: int, buckets: list[tuple[int, int]]
) -> OperationLatency:
    """Return the latencies of a reading of the C code, which has nanoseconds."""
    return OperationLatency(
        count,
        natively,
        total / _NANO,
        longest / _NANO,
        tuple((bound / _NANO, requests) for bound, requests in buckets),
    )


def operation_name(kind: int) -> str:
    """Return the name of a kind of request, by its number in the C code."""
    return _NAMES.get(kind, f"opcode {kind}")
