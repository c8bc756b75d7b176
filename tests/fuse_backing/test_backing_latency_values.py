"""Percentiles come from buckets, and the latencies since a reset are a difference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_backing.events import Totals
from fuse_backing.latency import OperationLatency, latency_of, operation_name
from fuse_backing.latency_display import interval_of, latency_document, latency_lines
from fuse_backing.resets import ResetPoint
from fuse_backing.store_client import ServerInfo, StoreLatencies

INFO = ServerInfo(1, "/d", "/m", 5.0)
KERNEL = ServerInfo(1, "/d", "/m", 5.0, passthrough=True)
READS = latency_of(100, 90, 400_000, 39_000, [(1_000, 50), (2_000, 40), (30_000, 9), (40_000, 1)])


def test_a_percentile_is_the_bound_of_its_bucket_and_at_most_the_longest() -> None:
    assert [READS.percentile(share) for share in (0.5, 0.501, 0.9, 0.99, 0.999, 1)] == [
        *(1e-6, 2e-6, 2e-6, 30e-6, 39e-6, 39e-6)
    ]
    assert READS.mean == pytest.approx(4e-6)
    nothing = OperationLatency(0, 0, 0.0, 0.0, ())
    assert set(nothing.percentiles().values()) == {0.0}


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_a_percentile_is_the_one_of_the_sorted_latencies(values: list[int], share: float) -> None:
    counts = sorted({value: values.count(value) for value in values}.items())
    latency = latency_of(len(values), 0, sum(values), max(values), counts)
    rank = next(place for place in range(1, len(values) + 1) if place >= share * len(values))
    assert latency.percentile(share) == pytest.approx(sorted(values)[rank - 1] / 1e9)


def test_a_latency_that_was_written_out_is_read_as_the_same() -> None:
    assert OperationLatency.from_json(READS.to_json()) == READS


def later_reads(nanoseconds: int, *more: tuple[int, int]) -> OperationLatency:
    """Return the reads of READS and later ones."""
    buckets = [(1_000, 50), (2_000, 40), (30_000, 9), (40_000, 1), *more]
    counts = {bound: sum(count for each, count in buckets if each == bound) for bound, _ in buckets}

    return latency_of(
        sum(counts.values()), 91, 400_000 + nanoseconds, more[-1][0] - 10_000, [*counts.items()]
    )


def test_the_latencies_after_a_reset_are_those_of_later_requests() -> None:
    point = ResetPoint(7.0, {}, {"read": READS})
    later = later_reads(500_000, (1_000, 2), (310_000, 1))
    fsync = latency_of(1, 0, 5, 5, [(5, 1)])
    found = point.latencies_since({"read": later, "fsync": fsync, "write": READS}, {"read": 300e-6})
    assert found["read"].count == 3
    assert found["read"].natively == 1
    assert found["read"].longest == 300e-6
    assert found["read"].buckets == ((1e-6, 2), (310e-6, 1))
    assert found["read"].total == pytest.approx(500e-6)
    assert found["fsync"] == fsync
    assert point.latencies_since({"read": READS}, {}) == {}
    # Without the longest of the interval, the bound of its last bucket takes its place.
    assert later.since(READS).longest == 300e-6


def test_the_sums_after_a_reset_are_those_of_later_events() -> None:
    point = ResetPoint(7.0, {"a": Totals(events=2, freed=8), "b": Totals(events=1)})
    now = {"a": Totals(events=5, freed=20, errors=1), "b": Totals(events=1), "c": Totals(events=1, freed=4)}
    assert point.files_since(now) == {
        "a": Totals(events=3, freed=12, errors=1),
        "c": Totals(events=1, freed=4),
    }


def test_a_kind_has_the_name_of_its_operation() -> None:
    assert [operation_name(kind) for kind in (15, 64, 67, 63)] == ["read", "punch", "truncate", "opcode 63"]


def found(**operations: OperationLatency) -> StoreLatencies:
    return StoreLatencies(5.0, 9.0, operations)


def test_the_table_has_a_row_for_each_operation_the_longest_in_total_first() -> None:
    fsync = latency_of(2, 0, 3_000_000, 2_000_000, [(1_000_000, 1), (2_000_000, 1)])
    assert latency_lines(found(read=READS, fsync=fsync), INFO, None, None) == [
        "operation  count  natively     mean      p50      p90      p99    p99.9  longest",
        "fsync          2         0  1.50 ms  1.00 ms  2.00 ms  2.00 ms  2.00 ms  2.00 ms",
        "read         100        90  4.00 µs  1.00 µs  2.00 µs  30.0 µs  39.0 µs  39.0 µs",
        "natively: the requests that the server answered in C, without Python.",
    ]


def test_the_histogram_of_an_operation_has_a_row_for_each_doubling() -> None:
    assert latency_lines(found(read=READS), INFO, "read", 60) == [
        "read: 100 requests, 90 natively; latencies up to:",
        "1.02 µs |████████████████████████████████| 50",
        "2.05 µs |█████████████████████████▌      | 40",
        "4.10 µs |                                | 0",
        "8.19 µs |                                | 0",
        "16.4 µs |                                | 0",
        "32.8 µs |██████                          | 9",
        "65.5 µs |▌                               | 1",
        "mean 4.00 µs, p50 1.00 µs, p90 2.00 µs, p99 30.0 µs,",
        "  p99.9 39.0 µs, longest 39.0 µs",
    ]


def test_a_mount_whose_data_the_kernel_serves_explains_the_missing_rows() -> None:
    remark = "The kernel serves the reads and writes of this mount itself (passthrough): they have no row."
    assert latency_lines(found(fsync=READS), KERNEL, None, None)[-1] == remark
    assert latency_lines(found(), KERNEL, "read", None) == ["no read request has been answered yet", remark]
    assert latency_lines(found(), INFO, None, None) == ["no request has been answered yet"]
    assert latency_document(found(), KERNEL, None)["data_served_by"] == "kernel"


def test_a_line_about_an_interval_has_only_its_requests() -> None:
    later = later_reads(60_000, (70_000, 1))
    line = interval_of({"read": READS, "write": READS}, {"read": later, "write": READS})
    assert line == "read 1 p50 60.0 µs p99 60.0 µs longest 60.0 µs"
    assert interval_of({"read": READS}, {"read": READS}) == "no requests"
