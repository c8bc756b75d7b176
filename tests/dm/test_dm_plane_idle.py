"""An idle plane costs nothing: its threads, and those of the store, sleep when the load has ended."""

import math
from pathlib import Path

import pytest
import trio

from tests.dm.mappers_under_test import POOL, EmulatedMapper, make_pool, make_thin
from tests.dm.plane_backends import BACKENDS, assert_took_part, by_plane, mapper_served_by
from tests.dm.plane_oracle import PIECES, Region
from tests.dm.region_writer import RegionWriter, Terms
from thinsim.dm.daemon.native_plane import FILE, RING, THREADS
from thinsim.dm.emulator.pool.commit_clock import COMMIT_PERIOD

# Another test may look at every block device of the machine, and so read from these.
pytestmark = [pytest.mark.rig, pytest.mark.alone]

DEVICES = 4
THIN_BLOCKS = 16
REQUESTS = 50
AT_WORK = {FILE: THREADS, RING: 2}
"""Threads of the plane that work: the others rest while all pools are served with io_uring."""
WINDOWS = 15
"""Windows of a second of which one must be idle. In the first ones the last commit comes."""


def waits(pid: int) -> dict[tuple[int, str], int]:
    """Return for each thread, by id and name, how often it has waited (voluntary context switches)."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            lines = (task / "status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):  # a thread of trio has just ended
            continue
        status = dict(line.split(":", 1) for line in lines)
        found[int(task.name), status["Name"].strip()] = int(status["voluntary_ctxt_switches"])
    return found


def waits_since(pid: int, before: dict[tuple[int, str], int]) -> dict[tuple[int, str], int]:
    """Return how often each thread that still exists has waited since *before*."""
    return {thread: count - before.get(thread, 0) for thread, count in waits(pid).items()}


@pytest.mark.parametrize("backend", BACKENDS)
async def test_the_threads_of_plane_and_store_sleep_when_the_load_has_ended(
    tmp_path: Path, backend: str
) -> None:
    async with mapper_served_by(backend, tmp_path) as mapper:
        await work(mapper, backend)
        await an_idle_second(mapper)
        assert list(await mapper.check(POOL)) == []


async def work(mapper: EmulatedMapper, backend: str) -> None:
    """Use all devices, and check that the threads of the plane have served them with *backend*."""
    await make_pool(mapper)
    terms, writers = Terms(mapper.no_space), []
    for number in range(DEVICES):
        await make_thin(mapper, f"thin-{number}", number, THIN_BLOCKS)
        region = Region(number, 0, THIN_BLOCKS * PIECES)
        writers.append(RegionWriter(mapper.dm.path(f"thin-{number}"), region, None, seed=number))
    daemon = mapper.stack.dm_server.process.pid
    before = waits(daemon)
    async with trio.open_nursery() as nursery:
        for writer in writers:
            nursery.start_soon(trio.to_thread.run_sync, writer.work, terms)
        while not terms.stop.is_set() and min(writer.requests for writer in writers) < REQUESTS:
            await trio.sleep(0.05)
        terms.stop.set()
    assert_took_part(await mapper.dm.plane_traffic(POOL), backend)
    busy = waits_since(daemon, before)
    native = [count for (thread, name), count in busy.items() if thread != daemon and name[:4] != "Trio"]
    assert not by_plane() or sum(count > 0 for count in native) >= AT_WORK[backend], (
        f"a thread did nothing: {busy}"
    )


async def an_idle_second(mapper: EmulatedMapper) -> None:
    """Return after a second in which no thread has worked, except one that looks at the commit clock."""
    daemon, store = mapper.stack.dm_server.process.pid, mapper.stack.store_server.process.pid
    seen = []
    for _ in range(WINDOWS):
        began, in_daemon, in_store = trio.current_time(), waits(daemon), waits(store)
        await trio.sleep(1)
        in_daemon, in_store = waits_since(daemon, in_daemon), waits_since(store, in_store)
        seen.append((in_daemon, in_store))
        woken = {thread[0]: count for thread, count in (in_daemon | in_store).items() if count}
        # Once per period the main thread looks whether a commit is due, perhaps at both ends of a window.
        looks = math.ceil((trio.current_time() - began) / COMMIT_PERIOD) + 1
        if woken.pop(daemon, 0) <= looks and not woken:
            return
    pytest.fail(f"no idle second: {seen}")
