"""Trying again while a device is busy.

A probe by udev or a file descriptor not yet closed makes a device busy for a moment. containerd tries
100 times, 100 ms apart, on EBUSY alone (``plugins/snapshots/devmapper/pool_device.go``).
"""

import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from thinsim.errors import KernelError


@dataclass(frozen=True, slots=True)
class BusyRetry:
    """How often to try, and how many seconds to wait between two tries."""

    tries: int = 100
    interval: float = 0.1

    async def run(self, act: Callable[[], Awaitable[None]]) -> None:
        """Run *act* until it is not refused with EBUSY; the last refusal is raised."""
        for _ in range(self.tries - 1):
            try:
                return await act()
            except KernelError as error:
                if error.errno != errno.EBUSY:
                    raise
            await trio.sleep(self.interval)
        return await act()


CONTAINERD_RETRY = BusyRetry()
