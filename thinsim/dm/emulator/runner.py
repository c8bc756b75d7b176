"""A `Runner` runs blocking I/O, on a worker thread or in place."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import trio


class Runner(Protocol):
    """A `Runner` runs blocking I/O, on a worker thread or in place."""

    def __call__(self, function: Callable[..., Any], /, *arguments: Any) -> Awaitable[Any]:
        """Return the result of ``function(*arguments)``."""


async def in_place(function: Callable[..., Any], /, *arguments: Any) -> Any:
    """Run blocking I/O in this thread: for backings that can't wait for this process."""
    await trio.lowlevel.checkpoint()
    return function(*arguments)


async def on_thread(function: Callable[..., Any], /, *arguments: Any) -> Any:
    """Run blocking I/O on a worker thread, so that the event loop stays free."""
    return await trio.to_thread.run_sync(function, *arguments)
