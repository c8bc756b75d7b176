"""A mounted store measures the latency of each kind of request, and counts from a reset on."""

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from fuse_backing.latency import OperationLatency
from fuse_backing.store_client import StoreClient, StoreLatencies
from tests.fuse_backing.backing_store import COMMAND, DEADLINE, Store, host_fallocate, run_command
from tests.repository import REPOSITORY

pytestmark = pytest.mark.rig

BLOCK = 4096
PUNCH = 3
served_natively = pytest.mark.extents
"""The C code serves a punch only on a host with FIEMAP."""
served_by_server = pytest.mark.parametrize("data_served_by", ["server"], indirect=True)


def latencies(store: Store, *, since_mount: bool = False) -> StoreLatencies:
    return trio.run(lambda: StoreClient(store.control).latencies(since_mount=since_mount))


def counted(store: Store, operation: str, count: int) -> OperationLatency:
    """Wait until so many requests are counted: the server counts one after its client has the answer."""
    end = time.monotonic() + DEADLINE
    while True:
        found = latencies(store).operations.get(operation)
        if found is not None and found.count >= count:
            return found
        assert time.monotonic() < end, (operation, found)


def use(store: Store, name: str = "a") -> None:
    """Send one request of each of these kinds, and ten reads and writes."""
    fd = os.open(store.file(name), os.O_RDWR | os.O_CREAT)
    try:
        os.ftruncate(fd, 64 * BLOCK)
        for number in range(10):
            os.pwrite(fd, b"x" * BLOCK, number * BLOCK)
        for number in range(10):
            assert os.pread(fd, BLOCK, number * BLOCK) == b"x" * BLOCK
        assert host_fallocate(fd, PUNCH, 0, BLOCK) == 0
        assert host_fallocate(fd, 1, 32 * BLOCK, BLOCK) == 0
        os.fsync(fd)
    finally:
        os.close(fd)


@served_natively
def test_each_kind_of_request_is_counted_once(store: Store) -> None:
    use(store)
    for operation in ("create", "truncate", "punch", "allocate", "fsync", "release"):
        assert counted(store, operation, 1).count == 1, operation
    found = latencies(store).operations
    natively = ("create", "punch", "fsync", "release")
    assert [found[name].natively for name in natively] == [1] * len(natively)
    assert [found[name].natively for name in ("truncate", "allocate")] == [0] * 2
    if store.passthrough == "on":
        assert {"read", "write"} & found.keys() == set()
    else:
        assert (counted(store, "read", 10).natively, counted(store, "write", 10).natively) == (10, 10)
    assert (
        sum(each.natively for each in latencies(store).operations.values())
        == (store.counters()["served_natively"])
    )
    for name, each in found.items():
        assert 0 < each.percentile(0.5) <= each.percentile(0.99) <= each.longest < DEADLINE, name
        assert each.count == sum(count for _, count in each.buckets)


@served_by_server
def test_a_planned_delay_is_a_part_of_the_latency(store: Store) -> None:
    store.set_faults({"operation": "read", "action": "delay", "seconds": 0.3, "nth": 3})
    use(store)
    reads = counted(store, "read", 10)
    assert reads.natively == 0  # a plan for reads sends them to Python
    assert reads.longest >= 0.3 > reads.percentile(0.5)
    assert reads.percentile(0.99) == reads.longest
    bars = run_command("latency", "--control", store.control, "--operation", "read").stdout.splitlines()
    assert bars[0] == "read: 10 requests, 0 natively; latencies up to:"
    assert bars[-2].endswith("| 1")
    assert sum(int(bar.rpartition("| ")[2]) for bar in bars[1:-1]) == 10


@served_natively
def test_the_document_has_percentiles_and_buckets(store: Store) -> None:
    use(store)
    counted(store, "punch", 1)
    document = json.loads(run_command("latency", "--control", store.control, "--json").stdout)
    assert document["data_served_by"] == ("kernel" if store.passthrough == "on" else "server")
    punch = document["operations"]["punch"]
    assert (punch["count"], punch["natively"], punch["p50"], punch["p99_9"]) == (
        1,
        1,
        *[punch["longest"]] * 2,
    )
    assert punch["mean"] == punch["total"] == punch["longest"] <= punch["buckets"][0][0]
    only = json.loads(
        run_command("latency", "--control", store.control, "--json", "--operation", "punch").stdout
    )
    assert only["operations"] == {"punch": punch}


def test_an_unknown_operation_is_refused_with_the_nearest_name(store: Store) -> None:
    for given, complaint in {"raed": "; did you mean 'read'?", "5!": "; there "}.items():
        result = run_command("latency", "--control", store.control, "--operation", given, check=False)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith(f"Error: {given!r} is no operation of a store{complaint}")
    result = run_command("latency", "--control", store.control, "--operation", "tmpfile")
    assert result.stdout.startswith("no tmpfile request has been answered yet\n")


@served_natively
def test_the_metrics_have_a_histogram_of_each_operation(store: Store) -> None:
    use(store)
    counted(store, "punch", 1)
    text = run_command("metrics", "--control", store.control).stdout
    [family] = [each for each in text_string_to_metric_families(text) if each.type == "histogram"]
    punches = [each for each in family.samples if each.labels["operation"] == "punch"]
    values = [each.value for each in punches if "le" in each.labels]
    assert values == sorted(values)
    assert (values[-1], punches[-1].value) == (1, 1)
    assert 'fuse_backing_operation_native_requests_total{operation="punch"} 1\n' in text


def test_a_reset_deletes_nothing_and_the_counts_begin_again(store: Store) -> None:
    use(store)
    counted(store, "punch", 1)
    client = StoreClient(store.control)
    control = ("--control", store.control)
    before, metrics = store.totals(), run_command("metrics", *control).stdout
    assert run_command("stats", *control).stdout.startswith("file  events")
    assert run_command("reset", *control).stdout.startswith("stats and latency count from 20")
    text = run_command("stats", *control).stdout.splitlines()
    assert text[0].startswith("since the reset at 20")
    assert [row.split()[:2] for row in text[2:]] == [["all", "0"]]
    assert "punch" not in latencies(store).operations

    # The ledger, on which others rely, is whole.
    assert store.totals() == before
    assert [event.sequence for event in store.events()] == list(range(1, before.events + 1))
    assert store.by_offset_sum("a") == before.freed
    kept = [line for line in metrics.splitlines() if line.startswith("fuse_backing_freed")]
    assert kept[0] in run_command("metrics", *control).stdout
    assert latencies(store, since_mount=True).operations["punch"].count == 1
    whole = json.loads(run_command("stats", *control, "--since-mount", "--json").stdout)
    assert whole["totals"] == before.to_json()
    assert whole["since"] == trio.run(client.ping).started

    use(store, "b")
    assert counted(store, "punch", 1).count == 1
    counts = trio.run(client.statistics)
    assert list(counts.files) == ["b"]
    assert counts.totals == counts.files["b"] == store.totals() - before
    assert run_command("faults", "show", *control).stdout == "no faults are in force\n"


@served_by_server
def test_the_longest_latency_after_a_reset_is_a_later_one(store: Store) -> None:
    store.set_faults({"operation": "fsync", "action": "delay", "seconds": 0.3})
    use(store)
    assert counted(store, "fsync", 1).longest >= 0.3
    trio.run(StoreClient(store.control).reset)
    use(store)
    later = counted(store, "fsync", 1)
    assert later.longest < 0.3 <= latencies(store, since_mount=True).operations["fsync"].longest
    assert later.percentile(1) == later.longest


@contextmanager
def watching(store: Store, *words: str, output: int | IO[Any] = subprocess.PIPE) -> Iterator[Any]:
    command = [*COMMAND, *words, "--watch", "0.1", "--control", str(store.control)]
    with subprocess.Popen(command, stdout=output, text=True, cwd=REPOSITORY) as watcher:
        try:
            yield watcher
        finally:
            watcher.kill()


def until(read: Callable[[], str], word: str) -> str:
    """Return the first line with *word*, which must come soon."""
    end = time.monotonic() + DEADLINE
    while True:
        line = read()
        assert line, word
        assert time.monotonic() < end, (word, line)
        if word in line:
            return line


def test_without_a_terminal_a_line_is_printed_about_each_interval(store: Store) -> None:
    use(store)
    with watching(store, "stats") as watcher:
        first = watcher.stdout.readline()
        assert re.fullmatch(
            r"20\S+ events 0 punched 0 B zeroed 0 B allocated 0 B freed 0 B errors 0 faults 0\n", first
        )
        use(store, "b")
        assert until(watcher.stdout.readline, "punched 4 KiB")
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(DEADLINE) == 130
    with watching(store, "latency", "--operation", "fsync") as watcher:
        watcher.stdout.readline()
        use(store, "c")
        assert re.fullmatch(
            r"20\S+ fsync 1 p50 \S+ .s p99 \S+ .?s longest \S+ .?s\n",
            until(watcher.stdout.readline, "fsync"),
        )


def test_json_lines_have_the_whole_counts(store: Store) -> None:
    with watching(store, "stats", "--json") as watcher:
        assert json.loads(watcher.stdout.readline())["totals"]["events"] == 0
        use(store)
        assert until(watcher.stdout.readline, '"events": 1')
        trio.run(StoreClient(store.control).reset)
        assert until(watcher.stdout.readline, '"events": 0')


@served_by_server
def test_on_a_terminal_the_counts_are_shown_again_and_again(store: Store) -> None:
    ours, theirs = pty.openpty()
    try:
        with watching(store, "stats", output=theirs) as watcher:
            os.close(theirs)

            def read() -> str:
                return os.read(ours, 65536).decode(errors="replace")

            assert "all" in until(read, "all")
            use(store)
            assert until(read, "4 KiB")
            watcher.send_signal(signal.SIGINT)
            assert watcher.wait(DEADLINE) == 130
    finally:
        os.close(ours)


@served_by_server
def test_a_watch_ends_with_its_store(store: Store) -> None:
    with subprocess.Popen(
        [*COMMAND, "stats", "--watch", store.mountpoint, "--control", store.control],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as watcher:
        assert watcher.stdout is not None
        assert watcher.stderr is not None
        watcher.stdout.readline()
        store.tear_down()
        assert watcher.wait(DEADLINE) == 1
        assert re.fullmatch(r"Error: .*(no server answers|ended before).*\n", watcher.stderr.read())


@pytest.mark.parametrize("words", [("--watch", "0"), ("--watch", "0.01"), ("--watch=soon",)])
def test_an_interval_that_is_too_short_is_refused(words: tuple[str, ...]) -> None:
    result = run_command("stats", *words, check=False)
    assert result.returncode == 2
    assert "Invalid value for '--watch'" in result.stderr
