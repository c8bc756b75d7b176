"""Runs async work so that Ctrl-C and SIGTERM cancel it and its clean-up still runs to the end."""

import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import click
import trio

from fuse_backing.errors import FuseBackingError
from thinsim.errors import CombinedError, ThinsimError, failures_of

_Result = TypeVar("_Result")


def run_interruptible(work: Callable[[], Awaitable[_Result]], *, quiet: bool = False) -> _Result:
    """Return what *work* returns; click.Abort when a signal ended it. A second signal changes nothing.

    Failures of several tasks that all explain themselves become one CombinedError. With *quiet* nothing is
    said of the signal: a work that takes nothing has nothing to give back.
    """
    try:
        return trio.run(_guarded, work, quiet)
    except BaseExceptionGroup as group:
        raise _as_one(group) from group


async def _guarded(work: Callable[[], Awaitable[_Result]], quiet: bool) -> _Result:
    results: list[_Result] = []
    # What was ignored when the command was started (nohup, a script's background) stays ignored.
    heard = [n for n in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    with trio.open_signal_receiver(signal.SIGTERM, *heard) as signals:
        async with trio.open_nursery() as nursery:
            # Signals are taken until the clean-up is done: one left over would end this process.
            watching = trio.CancelScope(shield=True)

            async def watch() -> None:
                with watching:
                    async for _ in signals:
                        if not nursery.cancel_scope.cancel_called:
                            with suppress(OSError):  # a terminal that has hung up
                                if not quiet:
                                    click.echo("\nending: giving back what was taken", err=True)
                            nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                results.append(await work())
            finally:
                watching.cancel()
                nursery.cancel_scope.cancel()
    if not results:
        raise click.Abort
    return results[0]


def _as_one(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return one exception for *group*; the group itself if something in it is a bug."""
    failures = list(failures_of(group))
    if len(failures) == 1:
        return failures[0]
    if any(isinstance(failure, KeyboardInterrupt) for failure in failures):
        return click.Abort()
    if all(isinstance(failure, (ThinsimError, FuseBackingError, OSError)) for failure in failures):
        return CombinedError("; ".join(dict.fromkeys(map(str, failures))))
    return group
