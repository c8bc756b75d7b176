"""Many punches on a mount lose no event, and the server's memory stays bounded.

``make storm`` runs a million; ``THINSIM_PUNCHES`` sets the number.
"""

import json
import os
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from fuse_backing.events import Missed
from fuse_backing.store_client import StoreClient
from tests.fuse_backing.backing_store import Store, host_fallocate

FILES = ("a", "b")
EACH = int(os.environ.get("THINSIM_PUNCHES", "10000")) // len(FILES)
ALL = EACH * len(FILES)
BLOCK = 4096
BLOCKS = 1024
MIB = 1 << 20
PUNCH = 3


def punch_all_over(path: Path) -> None:
    with path.open("r+b") as file:
        for number in range(EACH):
            assert host_fallocate(file.fileno(), PUNCH, number % BLOCKS * BLOCK, BLOCK) == 0


async def follow(client: StoreClient) -> int:
    """Wait until a follower has seen all events or learned that it missed them; return their number."""
    seen = 0
    async with aclosing(client.follow()) as items:
        async for item in items:
            seen += item.count if isinstance(item, Missed) else 1
            if seen >= ALL:
                break
    return seen


@pytest.mark.rig
def test_a_storm_of_punches_loses_nothing(make_store: Callable[..., Store], tmp_path: Path) -> None:
    path = tmp_path / "events"
    store = make_store("--events", str(path))
    for name in FILES:
        store.file(name).write_bytes(b"x" * BLOCKS * BLOCK)
    host_freed = sum(store.allocated(name) for name in FILES)
    client = StoreClient(store.control)

    async def storm() -> int:
        async with trio.open_nursery() as nursery:
            for name in FILES:
                nursery.start_soon(trio.to_thread.run_sync, punch_all_over, store.file(name))
            return await follow(client)

    assert trio.run(storm) == ALL
    host_freed -= sum(store.allocated(name) for name in FILES)
    assert host_freed == BLOCK * min(EACH, BLOCKS) * len(FILES)

    totals, by_file = store.totals(), trio.run(client.totals_by_file)
    assert (totals.events, totals.punched_bytes, totals.errors) == (ALL, ALL * BLOCK, 0)
    assert totals.freed == totals.allocated == host_freed
    assert {name: (each.events, each.freed) for name, each in by_file.items()} == {
        name: (EACH, host_freed // len(FILES)) for name in FILES
    }
    _, by_time = trio.run(client.by_time)
    by_offset = [trio.run(client.by_offset, name) for name in FILES]
    for buckets in (by_time.buckets, [bucket for each in by_offset for bucket in each.buckets]):
        assert sum(bucket.events for bucket in buckets) == ALL
        assert sum(bucket.bytes for bucket in buckets) == ALL * BLOCK
        assert sum(bucket.freed for bucket in buckets) == host_freed
    assert store.memory() < 64 * MIB

    store.server.terminate()
    assert store.server.wait() == 0
    freed = 0
    with path.open() as lines:
        for sequence, line in enumerate(lines, 1):
            event = json.loads(line)
            assert event["sequence"] == sequence  # a line with "missed" has no sequence
            freed += event["freed"]
    assert (sequence, freed) == (ALL, host_freed)
