"""Says which verbs of a snapshotter may run at the same time.

containerd runs every verb that changes anything in one write transaction of its store, device
operations included, so all wait for one another (``core/snapshots/storage/metastore.go``). Enough is
that two verbs do not change the same snapshot, and that a parent stays while a child of it is made.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import trio

from thinsim.snapshotter.undisturbed import undisturbed


@dataclass(frozen=True, slots=True)
class TurnsStatistics:
    """*snapshots*: names that a turn changes, keeps or waits for; none where one turn is for all."""

    snapshots: frozenset[str]


class Turns:
    """Gives turns: one at a time, or with *concurrent* by the snapshots' names."""

    def __init__(self, *, concurrent: bool) -> None:
        self._concurrent = concurrent
        self._all = trio.Lock()
        self._names: dict[str, _NameLock] = {}

    @asynccontextmanager
    async def turn(self, *changes: str, keeps: Iterable[str] = ()) -> AsyncIterator[None]:
        """Run the body, undisturbed, once nobody changes or keeps *changes* nor changes *keeps*.

        Waiting for one's turn can be cancelled.
        """
        async with AsyncExitStack() as held:
            if self._concurrent:
                wanted = dict.fromkeys(keeps, False) | dict.fromkeys(changes, True)
                # In one order for all, so that no two wait for each other.
                for name in sorted(name for name in wanted if name):
                    await held.enter_async_context(self._holding(name, alone=wanted[name]))
            else:
                await held.enter_async_context(self._all)
            with undisturbed():
                yield

    def statistics(self) -> TurnsStatistics:
        """Return what is held or waited for at this moment, for debugging and tests."""
        return TurnsStatistics(frozenset(self._names))

    @asynccontextmanager
    async def _holding(self, name: str, *, alone: bool) -> AsyncIterator[None]:
        lock = self._names.setdefault(name, _NameLock())
        lock.users += 1
        try:
            await lock.take(alone=alone)
            try:
                yield
            finally:
                lock.give_back(alone=alone)
        finally:
            lock.users -= 1
            if not lock.users:
                del self._names[name]


class _NameLock:
    """One holder alone or many that share, first come, first served."""

    def __init__(self) -> None:
        self.users = 0
        self._entrance = trio.Lock()
        self._sharers = 0
        self._alone = False
        self._left = trio.lowlevel.ParkingLot()

    async def take(self, *, alone: bool) -> None:
        async with self._entrance:
            while self._alone or (alone and self._sharers):
                await self._left.park()
            if alone:
                self._alone = True
            else:
                self._sharers += 1

    def give_back(self, *, alone: bool) -> None:
        if alone:
            self._alone = False
        else:
            self._sharers -= 1
        self._left.unpark_all()
