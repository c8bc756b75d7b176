"""The maps, pictures, histograms and metrics of a store show the true state of its host."""

import json
import os
import re
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from fuse_backing import metrics, picture
from fuse_backing.allocation import Extent, first_extents, merged
from fuse_backing.amounts import sized
from fuse_backing.events import Totals
from fuse_backing.latency import OperationLatency
from fuse_backing.store_client import ServerInfo, StoreClient
from tests.fuse_backing.backing_store import Store, host_fallocate, run_command

BLOCK = 4096
MIB = 1 << 20


def sparse(path: Path, *ranges: tuple[int, int], size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        for start, end in ranges:
            file.seek(start)
            file.write(b"x" * (end - start))
        file.flush()
        os.fsync(file.fileno())


RANGES = ((0, 2 * BLOCK), (64 * BLOCK, 100 * BLOCK), (MIB, MIB + BLOCK))
EXPECTED = [
    (0, 2 * BLOCK, True),
    (2 * BLOCK, 64 * BLOCK, False),
    (64 * BLOCK, 100 * BLOCK, True),
    (100 * BLOCK, MIB, False),
    (MIB, MIB + BLOCK, True),
    (MIB + BLOCK, 2 * MIB, False),
]


def shown(result: str) -> list[tuple[int, int, bool]]:
    found = json.loads(result)
    assert (found["size"], found["allocated"]) == (2 * MIB, 39 * BLOCK)
    assert not any(each["shared"] for each in found["ranges"])
    return [(each["start"], each["end"], each["allocated"]) for each in found["ranges"]]


def test_the_map_of_any_file_of_the_host(tmp_path: Path) -> None:
    sparse(tmp_path / "a", *RANGES, size=2 * MIB)
    assert shown(run_command("map", tmp_path / "a", "--json").stdout) == EXPECTED
    table = run_command("map", tmp_path / "a").stdout.splitlines()
    assert table[0] == "size 2 MiB, allocated 156 KiB"
    assert [re.split("  +", row) for row in table[1:4]] == [
        ["start", "end", "length", "what"],
        ["0 B", "8 KiB", "8 KiB", "allocated"],
        ["8 KiB", "256 KiB", "248 KiB", "hole"],
    ]
    assert table[8] == "one cell is 4 KiB: █ allocated, ▓▒░ in part, blank a hole"
    assert table[9] == "    0 B |██" + " " * 62 + "|"
    assert table[10] == "256 KiB |" + "█" * 36 + " " * 28 + "|"


@pytest.mark.rig
def test_the_map_of_a_file_on_the_mount_is_that_of_the_hosts_file(store: Store) -> None:
    sparse(store.file("a"), *RANGES, size=2 * MIB)
    command = ("map", store.file("a"), "--json", "--control", store.control)
    assert shown(run_command(*command).stdout) == EXPECTED
    with store.file("a").open("r+b") as file:  # preallocated: a hole to SEEK_DATA, allocated to the host
        assert host_fallocate(file.fileno(), 1, 4 * MIB, MIB) == 0
        assert host_fallocate(file.fileno(), 3, MIB, BLOCK) == 0
    found = json.loads(run_command(*command).stdout)
    assert found["ranges"][-1] == {"start": 4 * MIB, "end": 5 * MIB, "allocated": True, "shared": False}
    assert found["allocated"] == 38 * BLOCK + MIB == store.allocated("a")


@pytest.mark.rig
def test_the_map_of_many_extents_loses_none(store: Store) -> None:
    with store.file("a").open("wb", buffering=0) as file:
        for number in range(2500):
            os.pwrite(file.fileno(), b"x", number * 2 * BLOCK)
    found = json.loads(run_command("map", store.file("a"), "--json", "--control", store.control).stdout)
    held = [(each["start"], each["end"]) for each in found["ranges"] if each["allocated"]]
    assert held == [(number * 2 * BLOCK, (number * 2 + 1) * BLOCK) for number in range(2500)]


@pytest.mark.parametrize(
    ("path", "reason"), [("no", "No such file"), (".", "not a regular file"), ("fifo", "not a regular file")]
)
def test_a_path_without_a_map_is_refused_by_name(tmp_path: Path, path: str, reason: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    result = run_command("map", tmp_path / path, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


def test_extents_can_be_asked_for_in_parts(tmp_path: Path) -> None:
    sparse(tmp_path / "a", *RANGES, size=2 * MIB)
    with (tmp_path / "a").open("rb") as file:
        parts: list[Extent] = []
        while found := first_extents(file.fileno(), parts[-1].end if parts else 0, 1):
            parts += found
    assert merged((each.start, each.end) for each in parts) == list(RANGES)


@given(
    st.integers(0, 1 << 40),
    st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(1, 1 << 36)), max_size=6),
)
def test_a_picture_never_hides_a_byte_and_never_invents_one(size: int, pieces: list[tuple[int, int]]) -> None:
    ranges = merged(sorted((start, start + length) for start, length in pieces))
    title, *rows = picture.shaded(size, ranges)
    assert len(rows) <= picture.MOST_ROWS
    cells = "".join(row[row.index("|") + 1 : -1] for row in rows)
    cell = 4096
    while -(-size // cell) > picture.WIDTH * picture.MOST_ROWS:
        cell *= 2
    assert title.startswith(f"one cell is {sized(cell)}:")
    assert len(cells) == -(-size // cell)
    for number, shade in enumerate(cells):
        start, end = number * cell, min((number + 1) * cell, size)
        held = sum(max(0, min(stop, end) - max(begin, start)) for begin, stop in ranges)
        assert (shade == " ") == (held == 0)
        assert (shade == "█") == (held == end - start)


@given(st.lists(st.integers(0, 1 << 50), max_size=200))
def test_heat_is_by_share_of_the_largest_and_blank_only_for_nothing(values: list[int]) -> None:
    title, *rows = picture.heat(values, str)
    assert title.startswith(f"█ is {sized(max(values, default=0))},")
    cells = "".join(row[row.index("|") + 1 : -1] for row in rows)
    assert len(cells) == len(values)
    assert [int(row[: row.index("|")]) for row in rows] == list(range(0, len(values), picture.WIDTH))
    for shade, value in zip(cells, values, strict=True):
        assert (shade == " ") == (value == 0)
        assert (shade == "█") == (value == max(values) > 0)


@pytest.mark.rig
def test_histograms_show_where_and_when_bytes_were_freed(store: Store) -> None:
    store.file("a").write_bytes(b"x" * 4 * MIB)
    with store.file("a").open("r+b") as file:
        assert host_fallocate(file.fileno(), 3, MIB, MIB) == 0
        assert host_fallocate(file.fileno(), 3, 3 * MIB, 65536) == 0
    control = ("--control", store.control)
    by_offset = json.loads(run_command("histogram", "--file", "a", "--json", *control).stdout)
    assert by_offset["width"] == 65536
    buckets = [each["freed"] for each in by_offset["buckets"]]
    freed = {number * 65536: each for number, each in enumerate(buckets) if each}
    assert freed == {**{MIB + number * 65536: 65536 for number in range(16)}, 3 * MIB: 65536}
    by_time = json.loads(run_command("histogram", "--json", *control).stdout)
    assert sum(each["freed"] for each in by_time["buckets"]) == MIB + 65536
    assert sum(each["events"] for each in by_time["buckets"]) == 2
    assert by_time["width"] == 1
    assert run_command("histogram", *control).stdout.startswith("freed bytes by time since ")
    assert run_command("histogram", "--file", "a", *control).stdout.splitlines() == [
        "freed bytes by offset, one cell is 64 KiB:",
        "█ is 64 KiB, ▓▒░ less, blank nothing",
        "0 B |" + " " * 16 + "█" * 16 + " " * 16 + "█|",
    ]


def families(text: str) -> dict[str, dict[str, float]]:
    """Read the text as Prometheus does; return the values by metric name and file."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        if family.type != "histogram":
            found[family.name] = {sample.labels.get("file", ""): sample.value for sample in family.samples}
    return found


@given(st.dictionaries(st.text(max_size=8), st.integers(0, 1 << 52), max_size=5), st.text(max_size=8))
def test_metrics_are_prometheus_text_whatever_files_are_called(files: dict[str, int], directory: str) -> None:
    info = ServerInfo(1, directory, "/mnt", 1.5, passthrough=True)
    text = metrics.exposition(
        info,
        {file: Totals(events=1, freed=freed) for file, freed in files.items()},
        {"data_requests": 3, "served_natively": 4},
        {"read": OperationLatency(3, 2, 0.5, 0.4, ((0.001023, 1), (0.25, 1), (0.4, 1)))},
    )
    text.encode()
    found = families(text)
    names = {name.encode("utf-8", "backslashreplace").decode(): freed for name, freed in files.items()}
    assert found["fuse_backing_freed_bytes"] == names
    assert found["fuse_backing_data_requests"] == {"": 3}
    assert found["fuse_backing_native_requests"] == {"": 4}
    durations = {
        sample.labels.get("le", sample.name.rpartition("_")[2]): sample.value
        for family in text_string_to_metric_families(text)
        if family.type == "histogram"
        for sample in family.samples
    }
    assert (durations["1.024e-06"], durations["0.001048576"], durations["0.268435456"]) == (0, 1, 2)
    assert (durations["+Inf"], durations["count"], durations["sum"]) == (3, 3, 0.5)
    [sample] = next(iter(text_string_to_metric_families(text))).samples
    assert sample.labels["directory"] == directory.encode("utf-8", "backslashreplace").decode()


@pytest.mark.rig
def test_the_metrics_of_a_mount(store: Store) -> None:
    name = os.fsdecode(b'\xff"\\')
    store.file(name).write_bytes(b"x" * 2 * BLOCK)
    store.set_faults({"operation": "punch", "action": "error", "errno": "EIO", "nth": 2})
    with store.file(name).open("r+b") as file:
        assert host_fallocate(file.fileno(), 3, 0, BLOCK) == 0
        assert host_fallocate(file.fileno(), 3, 0, BLOCK) != 0
    text = run_command("metrics", "--control", store.control).stdout
    found = families(text)
    label = '\\udcff"\\'
    assert found["fuse_backing_freed_bytes"] == {label: BLOCK}
    assert found["fuse_backing_events"] == {label: 2}
    assert found["fuse_backing_errors"] == found["fuse_backing_faults"] == {label: 1}
    began = trio.run(StoreClient(store.control).ping).started
    assert found["fuse_backing_start_time_seconds"] == {"": began}
    served = re.search(r'data_served_by="(\w+)"', text)
    assert served is not None
    assert served[1] == ("kernel" if store.passthrough == "on" else "server")
    assert (found["fuse_backing_data_requests"][""] == 0) == (store.passthrough == "on")
