"""Holds I/O while a device is suspended, and lets a suspend wait for what is in flight."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Gate:
    """Open at first. Closing it holds who comes later and returns when everybody is out.

    As the kernel's dm.c (__dm_suspend): bios that come after are deferred, those in flight drain.
    """

    def __init__(self) -> None:
        self._changed = trio.Condition()
        self._inside = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether newcomers wait."""
        return self._closed

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Be inside; waits while the gate is closed."""
        async with self._changed:
            while self._closed:
                await self._changed.wait()
            self._inside += 1
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                async with self._changed:
                    self._inside -= 1
                    if not self._inside:
                        self._changed.notify_all()

    async def close(self) -> None:
        """Hold newcomers and wait until nobody is inside; opens again when cancelled."""
        async with self._changed:
            self._closed = True
            try:
                while self._inside:
                    await self._changed.wait()
            except trio.Cancelled:
                self._closed = False
                self._changed.notify_all()
                raise

    async def open(self) -> None:
        """Let everybody in."""
        async with self._changed:
            self._closed = False
            self._changed.notify_all()
