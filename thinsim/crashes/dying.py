"""Counts the steps of a snapshotter and kills its process before one of them, or in the midst.

A step is a write to one of the two databases (before its commit), a command of device-mapper that
changes something, mkfs, a discard, a mount, an unmount. SIGKILL: nothing of the process gets to act on it.
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
"""Seconds into a discard that runs no command: it is a series of steps."""


class Countdown:
    """Writes the name of each step to *trail* before it; dies before step number *die_at*, from 1 on.

    With *during* that step is begun, and the process dies while a command that it runs is under way.
    """

    def __init__(self, trail: Path, die_at: int, *, during: bool) -> None:
        self.counting = False
        self._trail = os.open(trail, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._die_at = die_at
        self._during = during
        self._steps = 0

    def step(self, name: str) -> bool:
        """A step is about to be taken; return whether the process is to die during it."""
        if not self.counting:
            return False
        self._steps += 1
        os.write(self._trail, f"{name}\n".encode())
        if self._steps == self._die_at and not self._during:
            die()
        return self._steps == self._die_at

    def write(self, what: str) -> None:
        """A transaction is about to be committed."""
        self.step(f"write: {what}")

    async def around(self, act: str, device: str, call: Callable[[], Awaitable[_Result]]) -> _Result:
        """Take a step that does *act* to *device*."""
        if self.step(f"{act} {device}".rstrip()):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_die_in_its_midst, _UNCOMMANDED if act == "discard" else math.inf)
                try:
                    await call()
                finally:
                    die()
        return await call()


class CountedMounter:
    """A Mounter whose mounts and unmounts are steps."""

    def __init__(self, mounter: Mounter, countdown: Countdown) -> None:
        self._mounter = mounter
        self._countdown = countdown

    async def mount(self, source: str, target: Path, fs_type: str, options: tuple[str, ...]) -> None:
        """See Mounter."""
        mount = self._mounter.mount
        name = Path(source).name
        await self._countdown.around("mount", name, lambda: mount(source, target, fs_type, options))

    async def unmount(self, target: Path) -> None:
        """See Mounter."""
        await self._countdown.around("unmount", "", lambda: self._mounter.unmount(target))


def die() -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


async def _die_in_its_midst(seconds: float) -> None:
    """Die beside the first command that this process starts, or after *seconds*."""
    this = psutil.Process()
    with trio.move_on_after(seconds):
        while not this.children():
            await trio.sleep(0)
    die()
