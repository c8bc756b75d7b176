"""`run_interruptible` runs async work that Ctrl-C and SIGTERM cancel, and lets its clean-up finish."""

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
    """Run *work* and return its result. click.Abort if a signal ended it. A second signal changes nothing.

    If several tasks fail and each failure has a text for the user, they become one CombinedError. With
    *quiet*, the signal prints no message: such work has nothing to clean up.
    """
    try:
        return trio.run(_guarded, work, quiet)
    except BaseExceptionGroup as group:
        raise _as_one(group) from group


async def _guarded(work: Callable[[], Awaitable[_Result]], quiet: bool) -> _Result:
    results: list[_Result] = []
    # A signal that was ignored at the start of the command (nohup, a script's background) stays ignored.
    heard = [n for n in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    with trio.open_signal_receiver(signal.SIGTERM, *heard) as signals:
        async with trio.open_nursery() as nursery:
            # The receiver takes signals until the clean-up is done. A later one would end this process.
            watching = trio.CancelScope(shield=True)

            async def watch() -> None:
                with watching:
                    async for _ in signals:
                        if not nursery.cancel_scope.cancel_called:
                            with suppress(OSError):  # a terminal that has hung up
                                if not quiet:
                                    click.echo("\nInterrupted; cleaning up.", err=True)
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
    """Return one exception for *group*, or the group itself if it contains a bug."""
    failures = list(failures_of(group))
    if len(failures) == 1:
        return failures[0]
    if any(isinstance(failure, KeyboardInterrupt) for failure in failures):
        return click.Abort()
    if all(isinstance(failure, (ThinsimError, FuseBackingError, OSError)) for failure in failures):
        return CombinedError("; ".join(dict.fromkeys(map(str, failures))))
    return group
