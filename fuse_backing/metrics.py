"""`exposition` writes the ledger's totals, counters and latencies as Prometheus text (format 0.0.4)."""

from collections.abc import Iterable, Mapping

from fuse_backing.events import Totals
from fuse_backing.latency import OperationLatency
from fuse_backing.store_client import ServerInfo

_BY_FILE = (
    ("events_total", "events", "Hole punches, zero ranges, truncations, releases and injected faults."),
    ("punched_bytes_total", "punched_bytes", "Lengths of successful hole punches."),
    ("zeroed_bytes_total", "zeroed_bytes", "Lengths of successful zero ranges."),
    ("allocated_bytes_total", "allocated", "Bytes of these ranges that were allocated before."),
    ("freed_bytes_total", "freed", "Bytes that the host freed."),
    ("errors_total", "errors", "Requests that failed, on the host or by a planned fault."),
    ("faults_total", "faults", "Requests that a planned fault struck."),
)


_BOUNDS = tuple(4**power / 1e9 for power in range(5, 18))
"""The bounds of the buckets in seconds, about 1 µs to 17 s; each is also the bound of a measured bucket."""


def exposition(
    info: ServerInfo,
    files: Mapping[str, Totals],
    counters: Mapping[str, int],
    latencies: Mapping[str, OperationLatency],
) -> str:
    """Return the text: the counters of each file and operation since the mount, and who serves the data.

    A file name that is not UTF-8 gets backslash escapes, since the format requires UTF-8.
    """
    labels = {
        "directory": info.directory,
        "mountpoint": info.mountpoint,
        "data_served_by": "kernel" if info.passthrough else "server",
        "host": info.host,
        "freed": "measured" if info.freed_is_measured else "estimated",
    }
    lines = [*_family("info", "gauge", "The mount.", [(labels, 1)])]
    lines += _family(
        "start_time_seconds", "gauge", "Start of the mount, since the epoch.", [({}, info.started)]
    )
    for name, field, text in _BY_FILE:
        samples = [({"file": file}, getattr(totals, field)) for file, totals in sorted(files.items())]
        lines += _family(name, "counter", text, samples)
    lines += _family(
        "data_requests_total",
        "counter",
        "Reads and writes that the kernel sent to the server; 0 with passthrough.",
        [({}, counters["data_requests"])],
    )
    lines += _family(
        "native_requests_total",
        "counter",
        "Requests that the channel's thread served without Python.",
        [({}, counters["served_natively"])],
    )
    lines += _family(
        "operation_native_requests_total",
        "counter",
        "Requests of each operation that the channel's thread served without Python.",
        [({"operation": name}, each.natively) for name, each in latencies.items()],
    )
    lines += _latency_family(latencies)
    return "\n".join(lines) + "\n"


def _latency_family(latencies: Mapping[str, OperationLatency]) -> Iterable[str]:
    """Yield the latencies as a Prometheus histogram, whose buckets are cumulative."""
    name = "fuse_backing_request_duration_seconds"
    yield f"# HELP {name} Time from reading a request to the end of its answer, by operation."
    yield f"# TYPE {name} histogram"
    for operation, each in latencies.items():
        for bound in _BOUNDS:
            below = sum(count for upper, count in each.buckets if upper <= bound)
            yield f'{name}_bucket{{operation="{operation}",le="{bound}"}} {below}'
        yield f'{name}_bucket{{operation="{operation}",le="+Inf"}} {each.count}'
        yield f'{name}_sum{{operation="{operation}"}} {each.total}'
        yield f'{name}_count{{operation="{operation}"}} {each.count}'


def _family(
    name: str, kind: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> Iterable[str]:
    yield f"# HELP fuse_backing_{name} {text}"
    yield f"# TYPE fuse_backing_{name} {kind}"
    for labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels.items())
        yield f"fuse_backing_{name}{{{inner}}} {value}" if inner else f"fuse_backing_{name} {value}"


def _escaped(value: str) -> str:
    valid = value.encode("utf-8", "backslashreplace").decode()
    return valid.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
