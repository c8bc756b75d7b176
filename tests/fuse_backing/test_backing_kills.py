"""A server that SIGKILL ends under load loses nothing that was synced, and leaves nothing behind."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fuse_backing import mounts
from tests.fuse_backing.backing_store import DEADLINE, Store, names_in, run_command
from tests.fuse_backing.tree_writers import TreeWriter

pytestmark = pytest.mark.rig

WRITERS = 4
CLEAR = {errno.ENOTCONN, errno.ECONNABORTED, errno.ECONNREFUSED, errno.EIO, errno.ECANCELED}
"""Errors of a request whose server has died: fs/fuse/dev.c, and docs/explanation/backing-store.md."""


def working(store: Store) -> list[TreeWriter]:
    """Return writers that work, each in a directory of the store."""
    writers = []
    for number in range(WRITERS):
        directory = store.file(f"writer-{number}")
        directory.mkdir()
        writers.append(TreeWriter(directory, number))
    for writer in writers:
        writer.start()
    return writers


def ended(writers: list[TreeWriter]) -> None:
    for writer in writers:
        writer.join(DEADLINE)
        assert not writer.is_alive()


def assert_durable(directory: Path, writers: list[TreeWriter]) -> None:
    """Check that every durable file of the writers has its content below *directory*."""
    for writer in writers:
        assert len(writer.durable) > 10
        for name, content in writer.durable.items():
            assert (directory / writer.directory.name / name).read_bytes() == content, name


def test_a_server_killed_under_load_loses_nothing_synced_and_leaves_nothing(
    make_store: Callable[..., Store], tmp_path: Path, leave_nothing_in_runtime_directory: None
) -> None:
    events = tmp_path / "events"
    store = make_store("--events", str(events))
    writers = working(store)
    for writer in writers:
        assert writer.enough.wait(DEADLINE)
        assert writer.failure is None
    store.server.kill()
    assert store.server.wait(DEADLINE) == -9
    ended(writers)
    for writer in writers:
        assert writer.failure is not None
        assert writer.failure.errno in CLEAR, writer.failure
    assert_durable(store.directory, writers)
    assert names_in(store.directory) == [f"writer-{number}" for number in range(WRITERS)]
    with pytest.raises(OSError, match="not connected"):
        names_in(store.mountpoint)
    # The last lines of the event file may be missing; the others are whole and in order.
    recorded = [json.loads(line) for line in events.read_text().splitlines()]
    assert [event["sequence"] for event in recorded] == list(range(1, len(recorded) + 1))

    removed = run_command("unmount", store.mountpoint, "--control", store.control)
    assert removed.stdout == f"{store.mountpoint}: its server had died; the stale mount has been removed\n"
    assert mounts.mount_on(store.mountpoint) is None
    assert not store.control.exists()
    store.start()
    assert_durable(store.mountpoint, writers)
    assert store.totals().events == 0
    for writer in writers:
        for file in writer.directory.iterdir():
            file.unlink()
        writer.directory.rmdir()
    assert names_in(store.directory) == []


def test_a_server_that_is_terminated_under_load_has_every_punch_in_its_event_file(
    make_store: Callable[..., Store], tmp_path: Path
) -> None:
    events = tmp_path / "events"
    store = make_store("--events", str(events))
    writers = working(store)
    for writer in writers:
        assert writer.enough.wait(DEADLINE)
    store.server.terminate()
    assert store.server.wait(DEADLINE) == 0
    ended(writers)
    assert_durable(store.directory, writers)
    recorded = [json.loads(line) for line in events.read_text().splitlines()]
    for writer in writers:
        punches = [
            event
            for event in recorded
            if event["operation"] == "punch" and event["file"].startswith(f"{writer.directory.name}/")
        ]
        # One more may be recorded: a punch that was done, but whose answer was lost at the end.
        assert len(punches) - writer.punches in (0, 1)
    assert mounts.mount_on(store.mountpoint) is None
    assert not store.control.exists()
