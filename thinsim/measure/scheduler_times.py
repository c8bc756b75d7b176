"""`scheduler_times` reads for how long this process and its descendants ran or waited for a processor.

The times are those of /proc/PID/task/TID/schedstat (Linux Documentation/scheduler/sched-stats.rst). Unlike
elapsed time, they distinguish a slow program from a program that other programs kept waiting.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

_NANOSECONDS = 1_000_000_000


class _Thread(NamedTuple):
    process: int
    thread: int


@dataclass(frozen=True, slots=True)
class SchedulerTimes:
    """`SchedulerTimes` are seconds of all threads together."""

    processor: float
    """Seconds on a processor."""
    delayed: float
    """Seconds in which a thread could run and had to wait for a processor."""


class SchedulerReading:
    """A `SchedulerReading` holds the counters of each thread at one moment."""

    def __init__(self, counters: Mapping[_Thread, tuple[int, int]]) -> None:
        self._counters = counters

    def since(self, earlier: "SchedulerReading") -> SchedulerTimes:
        """Return the times between two readings. Threads that ended in between are not in them."""
        processor = delayed = 0
        for thread, (ran, waited) in self._counters.items():
            ran_before, waited_before = earlier._counters.get(thread, (0, 0))
            processor += ran - ran_before
            delayed += waited - waited_before
        return SchedulerTimes(processor / _NANOSECONDS, delayed / _NANOSECONDS)


def scheduler_times() -> SchedulerReading | None:
    """Read the counters now; None if this kernel does not count them (CONFIG_SCHED_INFO)."""
    # The kernel counts for a running thread only at its next tick. This call counts now for the calling one
    # (kernel/sched/core.c, task_sched_runtime); a discard on tmpfs can be shorter than a tick.
    time.thread_time()
    counters = {}
    for process in _tree(os.getpid()):
        for thread in _entries(f"/proc/{process}/task"):
            with suppress(OSError):  # the thread has just ended
                words = _text(f"/proc/{process}/task/{thread}/schedstat").split()
                counters[_Thread(process, int(thread))] = int(words[0]), int(words[1])
    return SchedulerReading(counters) if counters else None


def _tree(process: int) -> Iterator[int]:
    yield process
    for thread in _entries(f"/proc/{process}/task"):
        with suppress(OSError):
            for child in _text(f"/proc/{process}/task/{thread}/children").split():
                yield from _tree(int(child))


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 (this runs hundreds of times per discard)
    except OSError:  # the process has just ended
        return []


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:  # noqa: PTH123 (this runs hundreds of times per discard)
        return file.read()
