"""A busy session ends at once, with every answered punch in the ledger and no descriptor left open."""

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from fuse_backing.channel_options import ChannelOptions
from fuse_backing.ledger import Ledger
from tests.fuse_backing.backing_store import DEADLINE, Store, host_fallocate, missing_for_mounts

BLOCK = 4096
FILES = ("a", "b")
PAUSE = 0.0001
"""Seconds between two punches of a thread."""
PUNCH = 3

pytestmark = pytest.mark.rig


class Puncher(threading.Thread):
    """A `Puncher` punches blocks of a file one after the other until a punch fails."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.answered = 0

    def run(self) -> None:
        fd = os.open(self.path, os.O_RDWR)
        try:
            while host_fallocate(fd, PUNCH, self.answered % 1024 * BLOCK, BLOCK) == 0:
                self.answered += 1
                # The event file may lag behind by the ring's 65536 events. Without a pause the punches of a
                # second are more, and a disk that is slow for that long would decide the test.
                time.sleep(PAUSE)
        finally:
            with suppress(OSError):  # the flush fails: the server has ended
                os.close(fd)


@pytest.mark.parametrize("busy", [0.02, 0.1, 0.3])
def test_a_server_that_is_terminated_in_a_storm_loses_no_answered_punch(
    make_store: Callable[..., Store], tmp_path: Path, busy: float
) -> None:
    events = tmp_path / "events"
    store = make_store("--events", str(events))
    punchers = []
    for name in FILES:
        store.file(name).write_bytes(b"x" * 1024 * BLOCK)
        punchers.append(Puncher(store.file(name)))
    for puncher in punchers:
        puncher.start()
    threading.Event().wait(busy)
    store.server.terminate()
    assert store.server.wait(DEADLINE) == 0
    for puncher in punchers:
        puncher.join(DEADLINE)
        assert not puncher.is_alive()
    recorded = [json.loads(line) for line in events.read_text().splitlines()]
    assert [event["sequence"] for event in recorded] == list(range(1, len(recorded) + 1))
    for name, puncher in zip(FILES, punchers, strict=True):
        # One more may be recorded: a punch that was done, but whose answer was lost at the end.
        assert sum(event["file"] == name for event in recorded) - puncher.answered in (0, 1)


async def test_sessions_with_a_channel_leave_no_descriptor(tmp_path: Path) -> None:
    missing = missing_for_mounts()
    if missing is not None:
        pytest.skip(missing)
    from fuse_backing.extension import native
    from tests.fuse_backing.one_file import OneFile, mount

    def descriptors() -> list[str]:
        found = []
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):  # the descriptor of the listing itself
                found.append(str(entry.readlink()))
        return sorted(found)

    async def session() -> None:
        options = ChannelOptions(threads=2, account=Ledger(16).account, passthrough=True, table_bytes=4096)
        async with mount(OneFile(), tmp_path, options):
            assert native.has_channel()
        assert not native.has_channel()

    await session()  # the first session loads libraries that stay loaded
    before = descriptors()
    for _ in range(20):
        await session()
    assert descriptors() == before
