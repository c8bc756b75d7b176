"""A `RemapLock` decides who may touch a pool's mapping while I/O is in flight.

The kernel locks single blocks (dm-bio-prison). Here a pool has one lock with two sides. I/O on mapped,
unshared blocks *shares* it. A change of a mapping (provision, break sharing, discard, message, commit) holds
it *alone*. Neither side can starve: a waiting remap stops new sharers, and the stopped sharers go first when
it is done.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from thinsim.dm.emulator.bypass import Bypass, NoBypass


class RemapLock:
    """A `RemapLock` has many sharers or one holder; trio tasks only.

    Requests that its *bypass* lets through share it as well.
    """

    def __init__(self, bypass: Bypass | None = None) -> None:
        self._bypass = bypass or NoBypass()
        self._sharers = 0
        self._held = False
        self._waiting = 0
        self._stopped_sharers = trio.lowlevel.ParkingLot()
        self._next_holders = trio.lowlevel.ParkingLot()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Hold the mapping unchanged, together with other sharers."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._held or self._waiting:
            await self._stopped_sharers.park()  # the task that lets us in has counted us
        else:
            self._sharers += 1
        try:
            yield
        finally:
            self._sharers -= 1
            if not self._sharers:
                self._next_holders.unpark()

    @asynccontextmanager
    async def alone(self, *, beside_bypass: bool = False) -> AsyncIterator[None]:
        """Hold the mapping alone: no I/O is in flight, and only the caller changes mappings.

        With *beside_bypass*, requests that the bypass lets through go on until the caller holds it.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._waiting += 1
        try:
            while self._held or self._sharers:
                await self._next_holders.park()
        except BaseException:
            self._waiting -= 1
            if not self._held and not self._waiting:
                self._let_sharers_in()
            raise
        self._waiting -= 1
        self._held = True
        if not beside_bypass:
            self._bypass.hold()
        try:
            if not beside_bypass:
                await self._bypass.idle()
            yield
        finally:
            if not beside_bypass:
                self._bypass.release()
            self._held = False
            self._let_sharers_in()
            if not self._sharers:
                self._next_holders.unpark()

    def _let_sharers_in(self) -> None:
        self._sharers += len(self._stopped_sharers)
        self._stopped_sharers.unpark_all()
