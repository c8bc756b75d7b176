"""Takes turns on a pool's mappings: many look, or one changes them and tells who waits for a change."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import trio

from thinsim.dm.emulator.pool.held_writes import HeldWrites
from thinsim.dm.emulator.pool.lookups import look_up
from thinsim.dm.emulator.pool.remap_lock import RemapLock
from thinsim.dm.emulator.runner import Runner
from thinsim.thin.pool import Pool

_T = TypeVar("_T")


class MappingTurns:
    """Turns on the mappings of *engine*; trio tasks only."""

    def __init__(self, engine: Pool, run: Runner) -> None:
        self.held = HeldWrites(engine.modes)
        self.when_changed: Callable[[], None] = lambda: None
        """Called after there may have been an event. No checkpoint."""
        self._engine = engine
        self._run = run
        self._lock = RemapLock()

    def shared(self) -> AbstractAsyncContextManager[None]:
        """Hold the mappings still together with others."""
        return self._lock.shared()

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Be the only one, without a change to tell."""
        return self._lock.alone()

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Be the only one, to the end: a change that is cut short would have no owner."""
        try:
            async with self._lock.alone():
                with trio.CancelScope(shield=True):
                    yield
        finally:
            self.tell_waiters()

    async def look(self, look: Callable[[], _T]) -> _T:
        """Return what *look* finds in the metadata; to be called inside a turn. EIO as :func:`look_up`."""
        return await look_up(self._engine.metadata.blocks, self._run, look)

    def tell_waiters(self) -> None:
        """Let who waits for an event or for space look again. No checkpoint: it also runs on the way out."""
        self.held.look_again()
        self.when_changed()
