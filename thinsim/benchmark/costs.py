"""`counted` measures the costs of processes: processor time, memory, and bytes read and written."""

import resource
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil
import trio

_INTERVAL = 0.1

THINSIM = "thinsim"
STORE = "backing store"
DEVICE_MAPPER = "device-mapper"
CONTAINERD = "containerd"
_CONTAINERD = ("containerd", "containerd-shim-runc-v2")
_SERVERS = {"fuse_backing": STORE, "thinsim.dm.daemon": DEVICE_MAPPER}


@dataclass(slots=True)
class Cost:
    """A `Cost` adds up all processes of one role."""

    cpu: float = 0.0
    """Seconds of processor time."""
    memory: int = 0
    """Peak of the resident bytes."""
    read: int = 0
    """Bytes read by system calls."""
    written: int = 0
    """Bytes written by system calls."""


@dataclass(slots=True)
class Costs:
    """`Costs` are the costs of all processes, together and by role."""

    cpu: float = 0.0
    """Seconds of processor time of all processes, including those too short to be seen one by one."""
    user: float = 0.0
    """The part of *cpu* in user mode."""
    system: float = 0.0
    """The part of *cpu* in the kernel."""
    by_role: dict[str, Cost] = field(default_factory=dict)


@dataclass(slots=True)
class _Server:
    """A `_Server` is a watched process; *own* means that it is a child of this process."""

    process: psutil.Process
    role: str
    own: bool
    cost: Cost


@asynccontextmanager
async def counted() -> AsyncGenerator[Costs, None]:
    """Count the costs of this process and its descendants. The figures are complete after the context.

    Servers are sampled every 0.1 seconds. The last 0.1 seconds of a server are therefore only in the sum, and
    its bytes count for this process. Tools that end within the context count for this process, except for
    their time. containerd's shims are not descendants, so they are in their role but not in the sum.
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
            costs.user, costs.system = (now - then for now, then in zip(_spent(), before, strict=True))
            costs.cpu = costs.user + costs.system
            last = _cost(own)
            bench.cpu = last.cpu - first.cpu
            bench.memory = max(bench.memory, last.memory)
            bench.read, bench.written = last.read - first.read, last.written - first.written
            costs.by_role[THINSIM] = bench
            for server in servers.values():
                whole = costs.by_role.setdefault(server.role, Cost())
                whole.cpu += server.cost.cpu
                whole.memory = max(whole.memory, server.cost.memory)
                whole.read += server.cost.read
                whole.written += server.cost.written
                # The kernel adds the bytes of a child to the parent that waits for it (wait_task_zombie).
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
                continue  # the process has ended since it was listed
            known = servers.get(identity)
            if known is None:
                servers[identity] = _Server(process, role, parent == own.pid, now)
            else:
                now.memory = max(now.memory, known.cost.memory)
                known.cost = now
        await trio.sleep(_INTERVAL)


def _processes(own: psutil.Process) -> Iterator[tuple[psutil.Process, str]]:
    """Yield the servers among the descendants of *own*, each with its role."""
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


def _spent() -> tuple[float, float]:
    """Return the user and system seconds of this process and of all descendants that were waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime for each in used), sum(each.ru_stime for each in used)
