"""A `Gate` holds I/O while a device is suspended, and lets a suspend wait for the I/O in flight."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from thinsim.dm.emulator.bypass import Bypass, NoBypass


class Gate:
    """A `Gate` is open at first. Closing it holds newcomers and waits until nobody is inside.

    The kernel does the same (dm.c, __dm_suspend): later bios are deferred, those in flight drain. One task at
    a time may close it. While it is closed, nothing gets through its *bypass* either.
    """

    def __init__(self, bypass: Bypass | None = None) -> None:
        self._bypass = bypass or NoBypass()
        self._inside = 0
        self._closed = False
        self._outside = trio.lowlevel.ParkingLot()
        self._closers = trio.lowlevel.ParkingLot()

    @property
    def closed(self) -> bool:
        """Return whether newcomers wait."""
        return self._closed

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Enter for the time of the block, after a wait while the gate is closed."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while self._closed:
            await self._outside.park()
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._closers.unpark_all()

    async def close(self) -> None:
        """Hold newcomers and wait until nobody is inside; open again if cancelled."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._bypass.hold()
        self._closed = True
        try:
            while self._inside:
                await self._closers.park()
            await self._bypass.idle()
        except trio.Cancelled:
            self.open()
            raise

    def open(self) -> None:
        """Let everybody in."""
        if self._closed:
            self._bypass.release()
        self._closed = False
        self._outside.unpark_all()
