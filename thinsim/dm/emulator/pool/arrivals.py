"""`Arrivals` keeps the order of requests between their arrival and their turn.

A large write reaches the pool as several requests at once. The kernel allocates their blocks in the order in
which it got them (dm-thin.c, thin_defer_bio), so no lock may let a later one overtake.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Arrival:
    """An `Arrival` is a request's place in the order."""

    def __init__(self, arrivals: "Arrivals") -> None:
        self._arrivals = arrivals
        self.turn = trio.Event()
        """Set once no earlier request has a place."""

    async def first(self) -> None:
        """Return once no earlier request has a place, or at once without a place."""
        if self._arrivals.has(self):
            await self.turn.wait()

    def leave(self) -> None:
        """Give the place up: the order no longer matters to the request. It has no checkpoint."""
        self._arrivals.remove(self)


class Arrivals:
    """`Arrivals` are the requests that have a place, in the order of their arrival. Trio tasks only."""

    def __init__(self) -> None:
        self._places: dict[Arrival, None] = {}

    @contextmanager
    def arriving(self) -> Iterator[Arrival]:
        """Take a place until the block ends, at the latest. It has no checkpoint."""
        arrival = Arrival(self)
        self._places[arrival] = None
        self._wake_first()
        try:
            yield arrival
        finally:
            arrival.leave()

    def has(self, arrival: Arrival) -> bool:
        """Return whether *arrival* has a place."""
        return arrival in self._places

    def remove(self, arrival: Arrival) -> None:
        """Take the place of *arrival* away, if it has one, and let the next one have its turn."""
        self._places.pop(arrival, None)
        self._wake_first()

    def _wake_first(self) -> None:
        first = next(iter(self._places), None)
        if first is not None:
            first.turn.set()
