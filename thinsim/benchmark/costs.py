"""What processes cost while something runs: processor time, memory, bytes read and written."""

import resource
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil
import trio

_INTERVAL = 0.1

BENCH = "bench"
STORE = "backing store"
DEVICE_MAPPER = "device-mapper"
CONTAINERD = "containerd"
_CONTAINERD = ("containerd", "containerd-shim-runc-v2")
_SERVERS = {"fuse_backing": STORE, "thinsim.dm.daemon": DEVICE_MAPPER}


@dataclass(slots=True)
class Cost:
    """Of all processes of one role: seconds of processor time; peak resident bytes; bytes by system calls."""

    cpu: float = 0.0
    memory: int = 0
    read: int = 0
    written: int = 0


@dataclass(slots=True)
class Costs:
    """By role; *cpu* is of all processes together, those too short to be seen one by one included."""

    cpu: float = 0.0
    by_role: dict[str, Cost] = field(default_factory=dict)


@asynccontextmanager
async def counted() -> AsyncGenerator[Costs, None]:
    """Count what this process and its descendants cost; the figures are whole once the context is left.

    Servers are looked at ten times a second: what one does in its last tenth is in the sum alone.
    containerd's shims are nobody's children: they are in their role and not in the sum.
    """
    costs = Costs()
    watched: dict[tuple[int, float], tuple[str, Cost, Cost]] = {}
    before = _spent()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch, watched)
        try:
            yield costs
        finally:
            nursery.cancel_scope.cancel()
            costs.cpu = _spent() - before
            for role, first, last in watched.values():
                whole = costs.by_role.setdefault(role, Cost())
                whole.cpu += last.cpu - first.cpu
                whole.memory = max(whole.memory, last.memory)
                whole.read += last.read - first.read
                whole.written += last.written - first.written


async def _watch(watched: dict[tuple[int, float], tuple[str, Cost, Cost]]) -> None:
    own = psutil.Process()
    while True:
        for process, role in _processes(own):
            try:
                identity = process.pid, process.create_time()
                now = _cost(process)
            except psutil.Error:
                continue  # it has ended since it was listed
            # What this process had spent before does not count; a server's whole life does.
            _, first, last = watched.get(identity, (role, now if role == BENCH else Cost(), now))
            now.memory = max(now.memory, last.memory)
            watched[identity] = role, first, now
        await trio.sleep(_INTERVAL)


def _processes(own: psutil.Process) -> Iterator[tuple[psutil.Process, str]]:
    yield own, BENCH
    for process in own.children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        role = next((_SERVERS[word] for word in words if word in _SERVERS), None)
        if role is None and words and words[0].rpartition("/")[2] in _CONTAINERD:
            role = CONTAINERD
        if role is not None:
            yield process, role


def _cost(process: psutil.Process) -> Cost:
    with process.oneshot():
        times, moved = process.cpu_times(), process.io_counters()
        return Cost(
            cpu=times.user + times.system,
            memory=process.memory_info().rss,
            read=moved.read_chars,
            written=moved.write_chars,
        )


def _spent() -> float:
    """Processor seconds of this process and of all descendants that have ended and were waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
