"""`MachineLoad` measures the work of other programs during a stretch of time, and names what disturbs.

`read_load` reads the kernel's counters; the difference of two readings is the load between them:

    before = read_load()
    ...
    for words in read_load().since(before).disturbances(): ...
"""

import os
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_PROC = Path("/proc")

BUSY_PROCESSORS = 0.2
"""Other programs disturb from this share of all processor time on."""
WAITING = 0.1
"""Waiting for a processor disturbs from this share of the time on, if others keep the processors busy."""
STOLEN = 0.05
"""A hypervisor disturbs if it takes this share of all processor time. Less cannot make a run slower by the
least effect that a comparison reports, 5 %."""
WAITING_FOR_DISK = 0.3
"""Waiting for a disk disturbs from this share of the time on."""
WAITING_FOR_MEMORY = 0.02
"""Waiting for memory disturbs from this share of the time on."""


@dataclass(frozen=True, slots=True)
class MachineLoad:
    """A `MachineLoad` holds shares of a stretch of time, 0 to 1; None where the kernel does not count.

    Pressure is the share of the time in which at least one task of the machine waited, tasks of this run
    included (Documentation/accounting/psi.rst).
    """

    seconds: float
    """Length of the stretch of time, in seconds."""
    others: float
    """Share of all processor time that programs outside of this process and its descendants used, and the
    kernel's own threads."""
    steal: float
    """Share of all processor time in which the hypervisor ran something else."""
    cpu_pressure: float | None
    """Share of the time in which a task waited for a processor."""
    io_pressure: float | None
    """Share of the time in which a task waited for a disk."""
    memory_pressure: float | None
    """Share of the time in which a task waited for memory."""
    load_average: float
    """The kernel's average over a minute of tasks that run or wait, at the end of the stretch."""

    def disturbances(self, usual: "MachineLoad | None" = None) -> list[str]:
        """Return in words what may have slowed down this stretch of time; nothing if the machine was quiet.

        With *usual*, the load of the other stretches, only a load clearly above it counts. A run waits for
        its own programs and disks as well.
        """
        than = usual or NO_LOAD
        found = []
        if self._is_busy(than):
            waited = f" (waited for a processor {_percent(self.cpu_pressure)} of the time)"
            known = self.cpu_pressure is not None
            found.append(f"other programs kept the processors busy{waited if known else ''}")
        if _beyond(self.steal, STOLEN, than.steal):
            found.append(f"the hypervisor took {_percent(self.steal)} of the processor time")
        if _beyond(self.io_pressure, WAITING_FOR_DISK, than.io_pressure):
            found.append(f"programs waited for a disk {_percent(self.io_pressure)} of the time")
        if _beyond(self.memory_pressure, WAITING_FOR_MEMORY, than.memory_pressure):
            found.append(f"programs waited for memory {_percent(self.memory_pressure)} of the time")
        return found

    def _is_busy(self, usual: "MachineLoad") -> bool:
        if _beyond(self.others, BUSY_PROCESSORS, usual.others):
            return True
        # The programs of a run make each other wait. Only with others at work is the waiting their doing.
        waiting = _beyond(self.cpu_pressure, WAITING, usual.cpu_pressure)
        return waiting and self.others >= BUSY_PROCESSORS / 2


NO_LOAD = MachineLoad(
    seconds=0,
    others=0,
    steal=0,
    cpu_pressure=0,
    io_pressure=0,
    memory_pressure=0,
    load_average=0,
)
"""The load of a machine on which nothing runs."""


@dataclass(frozen=True, slots=True)
class LoadReading:
    """A `LoadReading` holds the kernel's counters at one moment, in seconds since a start of their own."""

    at: float
    """The monotonic clock."""
    busy: float
    """Processor time of all programs."""
    own: float
    """Processor time of this process and its descendants."""
    stolen: float
    """Processor time that the hypervisor took."""
    waited_cpu: float | None
    """Time in which a task waited for a processor; None without pressure counters."""
    waited_io: float | None
    """Time in which a task waited for a disk."""
    waited_memory: float | None
    """Time in which a task waited for memory."""
    load_average: float
    """The average over a minute of tasks that run or wait."""
    processors: int
    """The number of processors."""

    def since(self, before: "LoadReading") -> MachineLoad:
        """Return the load from the reading *before* to this one."""
        seconds = max(self.at - before.at, 1e-9)
        whole = seconds * self.processors
        return MachineLoad(
            seconds=seconds,
            others=_share((self.busy - before.busy) - (self.own - before.own), whole),
            steal=_share(self.stolen - before.stolen, whole),
            cpu_pressure=_waited(self.waited_cpu, before.waited_cpu, seconds),
            io_pressure=_waited(self.waited_io, before.waited_io, seconds),
            memory_pressure=_waited(self.waited_memory, before.waited_memory, seconds),
            load_average=self.load_average,
        )


@dataclass(slots=True)
class LoadWatch:
    """A `LoadWatch` has the load of a block of code in *loads*, once the block has ended."""

    loads: list[MachineLoad] = field(default_factory=list)

    @property
    def load(self) -> MachineLoad:
        """Return the load. ValueError before the block has ended."""
        if not self.loads:
            raise ValueError("the block has not ended, so its load is not known")
        return self.loads[0]


@contextmanager
def watched_load() -> Iterator[LoadWatch]:
    """Measure the load of the machine during the block."""
    watch, before = LoadWatch(), read_load()
    try:
        yield watch
    finally:
        watch.loads.append(read_load().since(before))


def read_load(proc: Path = _PROC) -> LoadReading:
    """Read the counters now; this takes milliseconds. OSError if *proc* is no proc file system."""
    tick = os.sysconf("SC_CLK_TCK")
    # proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; user contains the time of guests.
    words = [int(word) / tick for word in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = [*words, *[0.0] * (8 - len(words))]
    return LoadReading(
        at=time.monotonic(),
        busy=user + nice + system + irq + softirq,
        own=_own_seconds(),
        stolen=steal,
        waited_cpu=_pressure(proc / "pressure" / "cpu"),
        waited_io=_pressure(proc / "pressure" / "io"),
        waited_memory=_pressure(proc / "pressure" / "memory"),
        load_average=float((proc / "loadavg").read_text().split()[0]),
        processors=os.cpu_count() or 1,
    )


def usual_load(loads: Sequence[MachineLoad]) -> MachineLoad | None:
    """Return the median of each share of *loads*, or None if there are none."""
    if not loads:
        return None
    return MachineLoad(
        seconds=_median([each.seconds for each in loads]) or 0.0,
        others=_median([each.others for each in loads]) or 0.0,
        steal=_median([each.steal for each in loads]) or 0.0,
        cpu_pressure=_median([each.cpu_pressure for each in loads]),
        io_pressure=_median([each.io_pressure for each in loads]),
        memory_pressure=_median([each.memory_pressure for each in loads]),
        load_average=_median([each.load_average for each in loads]) or 0.0,
    )


def _own_seconds() -> float:
    """Return the processor time of this process, and of its descendants that run or were waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own = sum(each.ru_utime + each.ru_stime for each in used)
    for process in psutil.Process().children(recursive=True):
        try:
            own += sum(process.cpu_times()[:4])
        except psutil.Error:
            continue  # the process has ended since it was listed
    return own


def _pressure(path: Path) -> float | None:
    """Return the total of the line ``some``, in seconds; None if the kernel keeps no such account."""
    try:
        line = path.read_text().split("\n", 1)[0]
    except OSError:  # a kernel without CONFIG_PSI, or one that was started with psi=0
        return None
    fields = dict(word.partition("=")[::2] for word in line.split()[1:])
    return int(fields["total"]) / 1e6 if "total" in fields else None


def _beyond(share: float | None, least: float, usual: float | None) -> bool:
    """Return whether *share* is above *usual* by at least *least*."""
    return share is not None and share - (usual or 0) >= least


def _share(part: float, whole: float) -> float:
    return min(max(part / whole, 0.0), 1.0)


def _waited(now: float | None, before: float | None, seconds: float) -> float | None:
    return None if now is None or before is None else _share(now - before, seconds)


def _percent(share: float | None) -> str:
    return f"{share or 0:.0%}".replace("%", " %")


def _median(shares: Sequence[float | None]) -> float | None:
    known = sorted(share for share in shares if share is not None)
    if not known:
        return None
    middle = len(known) // 2
    return known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2
