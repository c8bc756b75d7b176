"""`rate_without` computes how fast a device could be if its server took no time.

While a client keeps all processors busy, each request costs the client, the kernel and the server some
processor time. A server that took none would leave its time to the others, and no server can do better.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import psutil

SETTLING = 0.7
"""Seconds from the start of the client's program until it is at full speed."""


class ServerPart(Enum):
    """A `ServerPart` is the work of a server that is taken to cost nothing."""

    ALL = "its server took no time"
    CODE = "its server's own code took no time"
    """Its system calls still do: the read of a request, the transfer, the answer."""


@dataclass(frozen=True, slots=True)
class ProcessorTimes:
    """A `ProcessorTimes` contains seconds since the start: of idle processors, and of the servers."""

    at: float
    idle: float
    server_code: float
    server: float

    @classmethod
    def of(cls, servers: Sequence[int]) -> "ProcessorTimes":
        """Return the times of the machine and of the processes *servers*."""
        times = [psutil.Process(pid).cpu_times() for pid in servers]
        code = sum(each.user for each in times)
        machine = psutil.cpu_times()
        return cls(time.monotonic(), machine.idle + machine.iowait, code, code + sum(t.system for t in times))

    def spare(self, later: "ProcessorTimes", part: ServerPart) -> float:
        """Return the share of all processors, 0 to 1, that was idle or at work for *part* until *later*."""
        ours = later.server - self.server if part is ServerPart.ALL else later.server_code - self.server_code
        capacity = (later.at - self.at) * (os.cpu_count() or 1)
        return min(0.99, max(0.0, later.idle - self.idle + ours) / capacity)


def rate_without(
    part: ServerPart, servers: Sequence[int], seconds: float, rate: Callable[[float], float]
) -> float:
    """Return the rate that a device could have if *part* of its *servers* took no time, and none were idle.

    *rate* measures the device for a number of seconds. Without servers the rate is as measured.
    """
    if not servers:
        return rate(seconds)
    found: list[ProcessorTimes] = []

    def watch() -> None:
        for wait in (SETTLING, seconds):
            time.sleep(wait)
            found.append(ProcessorTimes.of(servers))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        measured = rate(SETTLING + seconds)
    finally:
        watcher.join()
    before, after = found
    return measured / (1 - before.spare(after, part))
