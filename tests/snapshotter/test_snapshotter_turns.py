"""Verbs on the same snapshot wait for each other; verbs on different snapshots run at the same time."""

import pytest
import trio
import trio.testing

from thinsim.snapshotter.turns import Turns
from thinsim.snapshotter.undisturbed import pause


class Order:
    """An `Order` records the begin and the end of each body; all bodies yield in between."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.lines: list[str] = []

    async def take(self, name: str, *changes: str, keeps: tuple[str, ...] = ()) -> None:
        async with self.turns.turn(*changes, keeps=keeps):
            self.lines.append(f"{name} begins")
            await trio.sleep(1)
            self.lines.append(f"{name} ends")

    async def run(self, *takes: tuple[str, tuple[str, ...], tuple[str, ...]]) -> list[str]:
        """Start the turns one after another; each one waits or runs before the next one starts."""
        async with trio.open_nursery() as nursery:
            for name, changes, keeps in takes:
                nursery.start_soon(lambda n=name, c=changes, k=keeps: self.take(n, *c, keeps=k))
                await trio.testing.wait_all_tasks_blocked()
        return self.lines


def one_after_the_other(*names: str) -> list[str]:
    return [f"{name} {step}" for name in names for step in ("begins", "ends")]


async def test_without_concurrency_all_wait(autojump_clock: trio.testing.MockClock) -> None:
    order = Order(Turns(concurrent=False))
    assert await order.run(("1", ("a",), ()), ("2", ("b",), ()), ("3", ("c",), ())) == one_after_the_other(
        "1", "2", "3"
    )


async def test_other_snapshots_do_not_wait(autojump_clock: trio.testing.MockClock) -> None:
    order = Order(Turns(concurrent=True))
    await order.run(("1", ("a",), ()), ("2", ("b",), ()))
    assert order.lines[:2] == ["1 begins", "2 begins"]


async def test_the_same_snapshot_waits(autojump_clock: trio.testing.MockClock) -> None:
    order = Order(Turns(concurrent=True))
    assert await order.run(("1", ("a", "b"), ()), ("2", ("b", "c"), ())) == one_after_the_other("1", "2")


async def test_children_are_created_together_and_delay_their_parents_removal(
    autojump_clock: trio.testing.MockClock,
) -> None:
    order = Order(Turns(concurrent=True))
    await order.run(
        ("1", ("a",), ("p",)), ("2", ("b",), ("p",)), ("removal", ("p",), ()), ("3", ("c",), ("p",))
    )
    assert order.lines[:2] == ["1 begins", "2 begins"]
    # The order is first come, first served: many children do not starve the removal.
    assert order.lines[4:] == one_after_the_other("removal", "3")


async def test_waiting_can_be_cancelled_and_leaves_nothing_held(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for concurrent in (False, True):
        turns = Turns(concurrent=concurrent)
        order = Order(turns)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(order.take, "1", "a")
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(0.5) as scope:
                async with turns.turn("b", "a"):
                    raise AssertionError("two at once")
            assert scope.cancelled_caught
        with trio.fail_after(1):
            async with turns.turn("a", "b"):
                pass
        assert turns.statistics().snapshots == frozenset()


async def test_a_turn_can_be_cancelled_only_while_it_pauses(autojump_clock: trio.testing.MockClock) -> None:
    turns = Turns(concurrent=True)
    reached = []
    with trio.CancelScope() as scope:
        async with turns.turn("a"):
            scope.cancel()
            await trio.sleep(5)
            reached.append("slept")
            await pause(5)
            reached.append("paused")
    assert scope.cancelled_caught
    assert reached == ["slept"]
    assert trio.current_time() == pytest.approx(5)
