"""A `CommitClock` decides when a pool commits by itself: once per period, if a device has changed."""

from collections.abc import Callable
from contextlib import suppress

import trio

from thinsim.errors import DeviceMapperError
from thinsim.thin.pool import Pool

COMMIT_PERIOD = 1.0
"""Seconds between the commits of a changed pool (dm-thin.c, COMMIT_PERIOD)."""


class CommitClock:
    """A `CommitClock` remembers when *engine* committed last."""

    def __init__(self, engine: Pool) -> None:
        self._engine = engine
        self._last = trio.current_time()

    def committed(self) -> None:
        """Begin the period again: a flush made the engine commit."""
        self._last = trio.current_time()

    def if_due(self) -> Callable[[], None]:
        """Return a function that commits a changed pool, at most once per period (process_deferred_bios).

        A change after a quiet time is thus committed at once. A failure shows in the mode. The time is read
        now; the function may run on a thread, more than once.
        """
        now = trio.current_time()

        def commit() -> None:
            if now - self._last >= COMMIT_PERIOD and self._engine.metadata.devices_changed:
                self._last = now
                with suppress(DeviceMapperError):
                    self._engine.commit()

        return commit
