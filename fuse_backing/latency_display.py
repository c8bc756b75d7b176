"""These functions show the latencies of a store's requests, as text for people or as a JSON object."""

from collections import Counter
from collections.abc import Iterable, Mapping

from fuse_backing import picture
from fuse_backing.amounts import lasting
from fuse_backing.columns import pair_lines, table, wrapped
from fuse_backing.display import since_lines
from fuse_backing.errors import FuseBackingError
from fuse_backing.latency import OPERATION_NAMES, SHOWN_PERCENTILES, OperationLatency
from fuse_backing.near_names import did_you_mean, or_list
from fuse_backing.store_client import ServerInfo, StoreLatencies

_BY_KERNEL = "The kernel serves the reads and writes of this mount itself (passthrough): they have no row."
_NATIVELY = "natively: the requests that the server answered in C, without Python."


def latency_document(found: StoreLatencies, info: ServerInfo, operation: str | None) -> dict[str, object]:
    """Return the JSON object of the latencies of all operations, or of *operation*. Times are seconds."""
    operations = {
        name: {**found.operations[name].to_json(), **found.operations[name].percentiles()}
        for name in _chosen(found, operation)
    }
    served_by = "kernel" if info.passthrough else "server"
    return {
        "since": found.since,
        "read": found.read,
        "data_served_by": served_by,
        "operations": operations,
    }


def latency_lines(
    found: StoreLatencies, info: ServerInfo, operation: str | None, width: int | None
) -> list[str]:
    """Return a table of all operations, or the histogram of *operation*, in at most *width* columns."""
    names = _chosen(found, operation)
    lines = since_lines(found.since, info, width)
    if operation is not None and names:
        return [*lines, *_histogram_lines(operation, found.operations[operation], width)]
    if operation is not None:
        lines += wrapped(f"no {operation} request has been answered yet", width)
    elif names:
        titles = [key.replace("_", ".") for key in SHOWN_PERCENTILES]
        rows = [("operation", "count", "natively", "mean", *titles, "longest")]
        lines += table([*rows, *(_row(name, found.operations[name]) for name in names)], width)
        lines += wrapped(_NATIVELY, width)
    else:
        lines += ["no request has been answered yet"]
    return [*lines, *wrapped(_BY_KERNEL, width)] if info.passthrough else lines


def interval_of(before: Mapping[str, OperationLatency], now: Mapping[str, OperationLatency]) -> str:
    """Return the requests between two readings with their percentiles, by operation, in one line."""
    changes = {name: each.since(before.get(name)) for name, each in now.items()}
    parts = [
        f"{name} {each.count} p50 {lasting(each.percentile(0.5))} p99 {lasting(each.percentile(0.99))} "
        f"longest {lasting(each.longest)}"
        for name, each in sorted(changes.items(), key=lambda pair: -pair[1].total)
        if each.count
    ]
    return "; ".join(parts) or "no requests"


def _row(name: str, latency: OperationLatency) -> tuple[str, ...]:
    times = map(lasting, latency.percentiles().values())
    return (name, str(latency.count), str(latency.natively), *times)


def _histogram_lines(operation: str, latency: OperationLatency, width: int | None) -> list[str]:
    title = f"{operation}: {latency.count} requests, {latency.natively} natively; latencies up to:"
    times = latency.percentiles()
    titles = [key.replace("_", ".") for key in times]
    return [
        *wrapped(title, width),
        *picture.bars([(lasting(bound), count) for bound, count in _doublings(latency)], width),
        *pair_lines(titles, list(map(lasting, times.values())), width),
    ]


def _doublings(latency: OperationLatency) -> Iterable[tuple[float, int]]:
    """Yield the bound in seconds and the requests of each doubling between the fastest and the slowest."""
    counts: Counter[int] = Counter()
    for bound, count in latency.buckets:
        counts[round(bound * 1e9).bit_length()] += count
    for bits in range(min(counts), max(counts) + 1):
        yield (1 << bits) / 1e9, counts[bits]


def _chosen(found: StoreLatencies, operation: str | None) -> list[str]:
    """Return the operations to show, slowest in total first. Raises FuseBackingError for an unknown one."""
    if operation is None:
        return sorted(found.operations, key=lambda name: -found.operations[name].total)
    if operation in found.operations:
        return [operation]
    if operation in OPERATION_NAMES:
        return []
    near = did_you_mean(operation, OPERATION_NAMES) or or_list(found.operations)
    raise FuseBackingError(f"{operation!r} is no operation of a store{near}")
