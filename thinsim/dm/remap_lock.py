"""Who may touch a pool's mapping while I/O is under way.

The kernel locks single blocks (dm-bio-prison); here a pool has one lock with two sides: I/O on
mapped, unshared blocks *shares* it, whatever changes a mapping (provision, break sharing, discard,
message, commit) holds it *alone*. A waiting remap stops new sharers, so it can't starve.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class RemapLock:
    """Many sharers or one holder; trio tasks only."""

    def __init__(self) -> None:
        self._changed = trio.Condition()
        self._sharers = 0
        self._held = False
        self._waiting = 0

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Hold the mapping still together with others."""
        async with self._changed:
            while self._held or self._waiting:
                await self._changed.wait()
            self._sharers += 1
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                async with self._changed:
                    self._sharers -= 1
                    if not self._sharers:
                        self._changed.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Be the only one: no I/O is in flight and no mapping changes but by the caller."""
        async with self._changed:
            self._waiting += 1
            try:
                while self._held or self._sharers:
                    await self._changed.wait()
                self._held = True
            finally:
                self._waiting -= 1
                if not self._held:
                    self._changed.notify_all()
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                async with self._changed:
                    self._held = False
                    self._changed.notify_all()
