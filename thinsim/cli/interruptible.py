"""Run async work so that Ctrl-C and SIGTERM cancel it and its clean-up still runs to the end."""

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import trio

_Result = TypeVar("_Result")


def run(work: Callable[[], Awaitable[_Result]]) -> _Result:
    """Return what *work* returns; click.Abort when a signal ended it. A second signal changes nothing."""
    return trio.run(_guarded, work)


async def _guarded(work: Callable[[], Awaitable[_Result]]) -> _Result:
    results: list[_Result] = []
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                async for _ in signals:
                    click.echo("\nending: giving back what was taken", err=True)
                    nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                results.append(await work())
            except Exception as error:
                failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if not results:
        raise click.Abort
    return results[0]
