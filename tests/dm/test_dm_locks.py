"""A RemapLock and a Gate decide who waits for whom, step by step; cancelled waits leave both usable."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from thinsim.dm.emulator.gate import Gate
from thinsim.dm.emulator.pool.remap_lock import RemapLock


class Visitors:
    """`Visitors` are tasks that enter a place, are seen inside, and leave on request."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.inside: list[str] = []
        self._scopes: dict[str, trio.CancelScope] = {}
        self._leave: dict[str, trio.Event] = {}

    async def come(self, name: str, enter: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self._scopes[name], self._leave[name] = trio.CancelScope(), trio.Event()
        self._nursery.start_soon(self._visit, name, enter)
        await wait_all_tasks_blocked()

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await wait_all_tasks_blocked()

    async def cancel(self, name: str) -> None:
        self._scopes[name].cancel()
        await wait_all_tasks_blocked()

    async def _visit(self, name: str, enter: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        with self._scopes[name]:
            async with enter():
                self.inside.append(name)
                try:
                    await self._leave[name].wait()
                finally:
                    self.inside.remove(name)


async def test_sharers_share_and_a_holder_is_alone(nursery: trio.Nursery) -> None:
    lock, visitors = RemapLock(), Visitors(nursery)
    await visitors.come("a", lock.shared)
    await visitors.come("b", lock.shared)
    await visitors.come("X", lock.alone)
    assert visitors.inside == ["a", "b"]
    await visitors.leave("a")
    assert visitors.inside == ["b"]
    await visitors.leave("b")
    assert visitors.inside == ["X"]
    await visitors.come("Y", lock.alone)
    assert visitors.inside == ["X"]
    await visitors.leave("X")
    assert visitors.inside == ["Y"]
    await visitors.leave("Y")


async def test_a_waiting_holder_stops_new_sharers_and_they_go_before_the_next_holder(
    nursery: trio.Nursery,
) -> None:
    lock, visitors = RemapLock(), Visitors(nursery)
    await visitors.come("a", lock.shared)
    await visitors.come("X", lock.alone)
    await visitors.come("b", lock.shared)
    await visitors.come("Y", lock.alone)
    assert visitors.inside == ["a"]
    await visitors.leave("a")
    assert visitors.inside == ["X"]
    await visitors.leave("X")
    assert visitors.inside == ["b"]
    await visitors.leave("b")
    assert visitors.inside == ["Y"]
    await visitors.leave("Y")


@pytest.mark.parametrize("cancelled", ["a", "X", "b", "Y", "c"])
async def test_the_lock_still_works_after_any_cancellation(nursery: trio.Nursery, cancelled: str) -> None:
    lock, visitors = RemapLock(), Visitors(nursery)
    for name, side in (
        ("a", lock.shared),
        ("X", lock.alone),
        ("b", lock.shared),
        ("Y", lock.alone),
        ("c", lock.shared),
    ):
        await visitors.come(name, side)
    await visitors.cancel(cancelled)
    seen = set()
    while visitors.inside:
        assert len(visitors.inside) == 1 or all(name.islower() for name in visitors.inside)
        name = visitors.inside[0]
        seen.add(name)
        await visitors.leave(name)
    assert seen == {"a", "X", "b", "Y", "c"} - {cancelled}


async def test_the_last_waiting_holder_that_gives_up_lets_sharers_in(nursery: trio.Nursery) -> None:
    lock, visitors = RemapLock(), Visitors(nursery)
    await visitors.come("a", lock.shared)
    await visitors.come("X", lock.alone)
    await visitors.come("b", lock.shared)
    await visitors.cancel("X")
    assert visitors.inside == ["a", "b"]
    await visitors.leave("a")
    await visitors.leave("b")


async def test_an_error_inside_releases_the_lock() -> None:
    lock = RemapLock()
    for side in (lock.shared, lock.alone):
        with pytest.raises(KeyError):
            async with side():
                raise KeyError
    with trio.fail_after(1):
        async with lock.alone():
            pass


async def test_a_gate_waits_for_insiders_and_holds_newcomers(nursery: trio.Nursery) -> None:
    gate, visitors = Gate(), Visitors(nursery)
    await visitors.come("a", gate.passing)
    closed = trio.Event()

    async def close() -> None:
        await gate.close()
        closed.set()

    nursery.start_soon(close)
    await wait_all_tasks_blocked()
    assert gate.closed
    assert not closed.is_set()
    await visitors.come("b", gate.passing)
    await visitors.leave("a")
    assert closed.is_set()
    assert visitors.inside == []
    gate.open()
    await wait_all_tasks_blocked()
    assert visitors.inside == ["b"]
    await visitors.leave("b")


async def test_a_cancelled_close_opens_the_gate_again(nursery: trio.Nursery) -> None:
    gate, visitors = Gate(), Visitors(nursery)
    await visitors.come("a", gate.passing)
    with trio.move_on_after(0.01):
        await gate.close()
    assert not gate.closed
    await visitors.come("b", gate.passing)
    assert visitors.inside == ["a", "b"]
    for name in ("a", "b"):
        await visitors.leave(name)


async def test_a_task_that_gives_up_before_a_closed_gate_was_never_inside(nursery: trio.Nursery) -> None:
    gate, visitors = Gate(), Visitors(nursery)
    await gate.close()
    await visitors.come("a", gate.passing)
    await visitors.cancel("a")
    gate.open()
    await wait_all_tasks_blocked()
    assert visitors.inside == []
    with trio.fail_after(1):
        await gate.close()
