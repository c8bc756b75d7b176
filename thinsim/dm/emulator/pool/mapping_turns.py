"""`MappingTurns` gives turns on a pool's mappings: many tasks look, or one changes them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import trio

from thinsim.dm.emulator.bypass import Bypass
from thinsim.dm.emulator.pool.held_writes import HeldWrites
from thinsim.dm.emulator.pool.lookups import look_up
from thinsim.dm.emulator.pool.remap_lock import RemapLock
from thinsim.dm.emulator.runner import Runner
from thinsim.thin.pool import Pool

_T = TypeVar("_T")


class MappingTurns:
    """`MappingTurns` gives turns on the mappings of *engine*; trio tasks only."""

    def __init__(self, engine: Pool, run: Runner, bypass: Bypass | None = None) -> None:
        self.held = HeldWrites(engine.modes)
        self.when_changed: Callable[[], None] = lambda: None
        """This is called after each possible event. It must have no checkpoint."""
        self._engine = engine
        self._run = run
        self._lock = RemapLock(bypass)

    def shared(self) -> AbstractAsyncContextManager[None]:
        """Hold the mappings unchanged, together with other tasks."""
        return self._lock.shared()

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Hold the mappings alone, for a task that changes nothing."""
        return self._lock.alone()

    @asynccontextmanager
    async def changing(self, *, beside_bypass: bool = False) -> AsyncIterator[None]:
        """Hold the mappings alone, shielded to the end: a half-done change would have no owner.

        With *beside_bypass*, requests that the bypass lets through go on until the caller holds it.
        """
        try:
            async with self._lock.alone(beside_bypass=beside_bypass):
                with trio.CancelScope(shield=True):
                    yield
        finally:
            self.wake_waiters()

    async def look(self, look: Callable[[], _T]) -> _T:
        """Return the result of *look* on the metadata; call it inside a turn. EIO as :func:`look_up`."""
        return await look_up(self._engine.metadata.blocks, self._run, look)

    def wake_waiters(self) -> None:
        """Wake tasks that wait for an event or for space. It has no checkpoint, for use in clean-up."""
        self.held.look_again()
        self.when_changed()
