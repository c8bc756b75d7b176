"""Work that a signal or a failure ends still cleans up, and its error is one line."""

import signal
from collections.abc import Iterator

import click
import pytest
import trio

from thinsim.cli.interruptible import run_interruptible
from thinsim.errors import CombinedError, InvalidValueError, ProgramFailedError


@pytest.fixture(autouse=True)
def foreground() -> Iterator[None]:
    """Handle SIGINT and SIGHUP, even if the tests were started with them ignored."""
    before = [(n, signal.signal(n, signal.default_int_handler)) for n in (signal.SIGINT, signal.SIGHUP)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


def test_the_result_is_returned() -> None:
    async def work() -> int:
        return 42

    assert run_interruptible(work) == 42


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_work_and_its_clean_up_is_done(number: signal.Signals) -> None:
    cleaned = []

    async def work() -> None:
        try:
            signal.raise_signal(number)
            await trio.sleep(60)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.05)
                cleaned.append(True)

    with pytest.raises(click.Abort):
        run_interruptible(work)
    assert cleaned == [True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_more_signals_do_not_interrupt_the_clean_up(number: signal.Signals) -> None:
    cleaned = []

    async def work() -> None:
        try:
            signal.raise_signal(number)
            await trio.sleep(60)
        finally:
            with trio.CancelScope(shield=True):
                for _ in range(3):
                    signal.raise_signal(number)
                    await trio.sleep(0.01)
                cleaned.append(True)

    with pytest.raises(click.Abort):
        run_interruptible(work)
    assert cleaned == [True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(number: signal.Signals) -> None:
    async def work() -> int:
        signal.raise_signal(number)
        await trio.sleep(0.05)
        return 42

    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert run_interruptible(work) == 42
    finally:
        signal.signal(number, before)


def test_a_failure_comes_out_as_it_is() -> None:
    async def work() -> None:
        raise ProgramFailedError("why")

    with pytest.raises(ProgramFailedError, match=r"^why$"):
        run_interruptible(work)


def test_a_failure_in_nested_tasks_comes_out_alone() -> None:
    async def fail() -> None:
        raise ProgramFailedError("why")

    async def work() -> None:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(trio.sleep, 60)
            inner.start_soon(fail)

    with pytest.raises(ProgramFailedError, match=r"^why$"):
        run_interruptible(work)


def test_failures_of_several_tasks_become_one_line() -> None:
    async def work() -> None:
        raise ExceptionGroup(
            "tasks", [ProgramFailedError("one"), InvalidValueError("two"), ProgramFailedError("one")]
        )

    with pytest.raises(CombinedError, match=r"^one; two$"):
        run_interruptible(work)


def test_a_bug_among_them_keeps_its_traceback() -> None:
    async def work() -> None:
        raise ExceptionGroup("tasks", [ProgramFailedError("one"), ZeroDivisionError("a bug")])

    with pytest.raises(ExceptionGroup) as caught:
        run_interruptible(work)
    assert caught.group_contains(ZeroDivisionError)


def test_a_failure_of_the_clean_up_after_a_signal_is_reported() -> None:
    async def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
            await trio.sleep(60)
        finally:
            raise ProgramFailedError("could not clean up")

    with pytest.raises(ProgramFailedError, match="could not clean up"):
        run_interruptible(work)
