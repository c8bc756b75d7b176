"""`Turns` decides which verbs of a snapshotter may run at the same time.

containerd runs every verb that changes anything in one write transaction of its store, device
operations included, so all verbs wait for one another (``core/snapshots/storage/metastore.go``). It is
enough that no two verbs change the same snapshot, and that no verb removes the parent of a new child.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import trio

from thinsim.snapshotter.undisturbed import undisturbed


@dataclass(frozen=True, slots=True)
class TurnsStatistics:
    """`TurnsStatistics` has the names of the *snapshots* that a turn changes, keeps or waits for.

    The set is empty if there is one turn for all snapshots.
    """

    snapshots: frozenset[str]


class Turns:
    """`Turns` runs one verb at a time, or with *concurrent* one verb per snapshot."""

    def __init__(self, *, concurrent: bool) -> None:
        self._concurrent = concurrent
        self._all = trio.Lock()
        self._names: dict[str, _NameLock] = {}

    @asynccontextmanager
    async def turn(self, *changes: str, keeps: Iterable[str] = ()) -> AsyncIterator[None]:
        """Wait until no other turn changes or keeps *changes* or changes *keeps*, then run the body.

        The wait can be cancelled; the body is shielded from cancellation.
        """
        async with AsyncExitStack() as held:
            if self._concurrent:
                wanted = dict.fromkeys(keeps, False) | dict.fromkeys(changes, True)
                # All turns lock in the same order, so no two wait for each other.
                for name in sorted(name for name in wanted if name):
                    await held.enter_async_context(self._holding(name, alone=wanted[name]))
            else:
                await held.enter_async_context(self._all)
            with undisturbed():
                yield

    def statistics(self) -> TurnsStatistics:
        """Return the snapshots that are held or waited for now, for debugging and tests."""
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
                lock.release(alone=alone)
        finally:
            lock.users -= 1
            if not lock.users:
                del self._names[name]


class _NameLock:
    """A `_NameLock` has one exclusive holder or several shared ones, first come, first served."""

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

    def release(self, *, alone: bool) -> None:
        if alone:
            self._alone = False
        else:
            self._sharers -= 1
        self._left.unpark_all()
