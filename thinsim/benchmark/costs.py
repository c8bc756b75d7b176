"""Measures what processes cost while something runs: processor time, memory, bytes read and written."""

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


@dataclass(slots=True)
class _Server:
    """A process under watch; *own* children are waited for by this process."""

    process: psutil.Process
    role: str
    own: bool
    cost: Cost


@asynccontextmanager
async def counted() -> AsyncGenerator[Costs, None]:
    """Count what this process and its descendants cost; the figures are whole once the context is left.

    Servers are looked at ten times a second: what one does in its last tenth is in the sum alone, and its
    bytes in this process's. Tools that ended within the context count as this process, but for their time.
    containerd's shims are nobody's children: they are in their role and not in the sum.
    """
    costs, own = Costs(), psutil.Process()
    servers: dict[tuple[int, float], _Server] = {}
    before, first = _spent(), _cost(own)
    bench = Cost(memory=first.memory)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch, own, bench, servers)
        try:
            yield costs
        finally:
            nursery.cancel_scope.cancel()
            costs.cpu = _spent() - before
            last = _cost(own)
            bench.cpu = last.cpu - first.cpu
            bench.memory = max(bench.memory, last.memory)
            bench.read, bench.written = last.read - first.read, last.written - first.written
            costs.by_role[BENCH] = bench
            for server in servers.values():
                whole = costs.by_role.setdefault(server.role, Cost())
                whole.cpu += server.cost.cpu
                whole.memory = max(whole.memory, server.cost.memory)
                whole.read += server.cost.read
                whole.written += server.cost.written
                # What a child moved, the kernel adds to its parent that waits for it (wait_task_zombie).
                if server.own and not server.process.is_running():
                    bench.read -= server.cost.read
                    bench.written -= server.cost.written


async def _watch(own: psutil.Process, bench: Cost, servers: dict[tuple[int, float], _Server]) -> None:
    while True:
        bench.memory = max(bench.memory, own.memory_info().rss)
        for process, role in _processes(own):
            try:
                identity = process.pid, process.create_time()
                now, parent = _cost(process), process.ppid()
            except psutil.Error:
                continue  # it has ended since it was listed
            known = servers.get(identity)
            if known is None:
                servers[identity] = _Server(process, role, parent == own.pid, now)
            else:
                now.memory = max(now.memory, known.cost.memory)
                known.cost = now
        await trio.sleep(_INTERVAL)


def _processes(own: psutil.Process) -> Iterator[tuple[psutil.Process, str]]:
    """Yield the servers below *own*, each with its role."""
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
