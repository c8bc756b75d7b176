"""A `Countdown` counts the steps of a snapshotter and kills its process before or during one of them.

A step is a write to one of the two databases (before its commit), a device-mapper command that changes
something, mkfs, a discard, a mount, an unmount. The signal is SIGKILL, so the process cannot react.
"""

import math
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import psutil
import trio

from thinsim.snapshotter.host import Mounter

_Result = TypeVar("_Result")

_UNCOMMANDED = 0.005
"""Seconds from the start of a discard to the kill. A discard in steps runs no command to wait for."""


class Countdown:
    """A `Countdown` writes the name of each step to *trail* and dies before step number *die_at*, from 1.

    With *during*, the step begins and the process dies while a command of the step runs.
    """

    def __init__(self, trail: Path, die_at: int, *, during: bool) -> None:
        self.counting = False
        self._trail = os.open(trail, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._die_at = die_at
        self._during = during
        self._steps = 0

    def step(self, name: str) -> bool:
        """Record that a step begins; return whether the process must die during it."""
        if not self.counting:
            return False
        self._steps += 1
        os.write(self._trail, f"{name}\n".encode())
        if self._steps == self._die_at and not self._during:
            die()
        return self._steps == self._die_at

    def write(self, what: str) -> None:
        """Record that a transaction is about to be committed."""
        self.step(f"write: {what}")

    async def around(self, act: str, device: str, call: Callable[[], Awaitable[_Result]]) -> _Result:
        """Run *call*, the step that does *act* to *device*."""
        if self.step(f"{act} {device}".rstrip()):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_die_during, _UNCOMMANDED if act == "discard" else math.inf)
                try:
                    await call()
                finally:
                    die()
        return await call()


class CountedMounter:
    """A `CountedMounter` counts each mount and unmount as a step."""

    def __init__(self, mounter: Mounter, countdown: Countdown) -> None:
        self._mounter = mounter
        self._countdown = countdown

    async def mount(self, source: str, target: Path, fs_type: str, options: tuple[str, ...]) -> None:
        mount = self._mounter.mount
        name = Path(source).name
        await self._countdown.around("mount", name, lambda: mount(source, target, fs_type, options))

    async def unmount(self, target: Path) -> None:
        await self._countdown.around("unmount", "", lambda: self._mounter.unmount(target))


def die() -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


async def _die_during(seconds: float) -> None:
    """Kill this process once it has started a command, or after *seconds*."""
    this = psutil.Process()
    with trio.move_on_after(seconds):
        while not this.children():
            await trio.sleep(0)
    die()
