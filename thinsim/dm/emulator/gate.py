"""Holds I/O while a device is suspended, and lets a suspend wait for what is in flight."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Gate:
    """Open at first. Closing it holds who comes later and returns when everybody is out.

    As the kernel's dm.c (__dm_suspend): bios that come after are deferred, those in flight drain. One
    task at a time closes it.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._closed = False
        self._outside = trio.lowlevel.ParkingLot()
        self._closers = trio.lowlevel.ParkingLot()

    @property
    def closed(self) -> bool:
        """Whether newcomers wait."""
        return self._closed

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Be inside; waits while the gate is closed."""
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
        """Hold newcomers and wait until nobody is inside; opens again when cancelled."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._closed = True
        try:
            while self._inside:
                await self._closers.park()
        except trio.Cancelled:
            self.open()
            raise

    def open(self) -> None:
        """Let everybody in."""
        self._closed = False
        self._outside.unpark_all()
