"""The event file has every event as a line of JSON, even after errors of the disk or the server."""

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from fuse_backing.errors import FuseBackingError
from fuse_backing.event_file import EventFile
from fuse_backing.events import LedgerEvent
from fuse_backing.faults import FaultKind, Operation
from fuse_backing.ledger import Ledger
from tests.fuse_backing.backing_store import DEADLINE, Store, host_fallocate, run_command

BLOCK = 4096


def record(ledger: Ledger, count: int = 1, file: str = "a") -> None:
    for _ in range(count):
        ledger.record(
            time=1.5,
            file=file,
            operation=Operation.PUNCH,
            mode=3,
            offset=0,
            length=BLOCK,
            allocated=BLOCK,
            freed=BLOCK,
            errno=0,
            duration=0.25,
            fault=FaultKind.DELAY,
        )


def lines(path: Path) -> list[dict[str, object]]:
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the size of files to *size*: a write beyond it fails after a part, as on a full disk."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


async def test_events_are_appended_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text('{"earlier": 1}\n')
    ledger = Ledger()
    record(ledger, 2, os.fsdecode(b"\xff\n"))
    file = EventFile.open(ledger, path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(file.run)
        with trio.fail_after(DEADLINE):
            while len(lines(path)) < 3:
                await trio.sleep(0.01)
            record(ledger)
            while len(lines(path)) < 4:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    record(ledger)
    file.close()
    assert lines(path)[0] == {"earlier": 1}
    assert [LedgerEvent.from_json(line) for line in lines(path)[1:]] == ledger.events()


def test_events_that_the_ring_has_lost_leave_a_line_that_counts_them(tmp_path: Path) -> None:
    ledger = Ledger(4)
    file = EventFile.open(ledger, tmp_path / "events")
    record(ledger, 2)
    file.drain()
    record(ledger, 10)
    file.close()
    sequences = [line.get("sequence", line) for line in lines(tmp_path / "events")]
    assert sequences == [1, 2, {"missed": 6}, 9, 10, 11, 12]


@pytest.mark.parametrize("room", [0, 1, 200, 1000, 1200])
def test_a_full_disk_leaves_whole_lines_and_is_made_up_for(
    tmp_path: Path, room: int, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(8)
    file = EventFile.open(ledger, tmp_path / "events")
    record(ledger, 8)
    with largest_file(room):
        assert not file.drain()
        whole = lines(tmp_path / "events")
        assert len(whole) < 8
        assert not file.drain()
        record(ledger, 4)
        assert not file.drain()
    file.close()
    written = lines(tmp_path / "events")
    assert written[: len(whole)] == whole
    found: list[object] = []
    for line in written:
        missed = line.get("missed", 0)
        assert isinstance(missed, int)
        found += ["lost"] * missed if missed else [line["sequence"]]
    assert len(found) == 12
    assert [number for number in found if number != "lost"] == [
        number for number in range(1, 13) if found[number - 1] != "lost"
    ]
    assert found[-8:] == list(range(5, 13))
    assert caplog.text.count("cannot write events to") == 1


def test_an_event_file_that_cannot_be_written_is_refused_before_the_mount(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "no" / "file", tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(FuseBackingError, match=f"cannot write events to {path}: "):
            EventFile.open(Ledger(), path)
        place, directory = tmp_path / "mnt", tmp_path / "dir"
        place.mkdir(exist_ok=True)
        directory.mkdir(exist_ok=True)
        result = run_command("mount", directory, place, "--events", path, check=False)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1


@pytest.mark.rig
def test_the_file_of_a_mount_has_every_event(make_store: Callable[..., Store], tmp_path: Path) -> None:
    store = make_store("--events", str(tmp_path / "events"))
    assert (tmp_path / "events").stat().st_mode & 0o777 == 0o600
    store.file("a").write_bytes(b"x" * 2000 * BLOCK)
    with store.file("a").open("r+b") as file:
        for number in range(2000):
            assert host_fallocate(file.fileno(), 3, number * BLOCK, BLOCK) == 0
    kept = store.events()
    store.server.terminate()
    assert store.server.wait(DEADLINE) == 0
    written = lines(tmp_path / "events")
    assert [LedgerEvent.from_json(line) for line in written] == kept
    assert sum(event.freed for event in kept) == 2000 * BLOCK
