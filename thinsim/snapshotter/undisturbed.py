"""Keeps a cancellation from cutting work short, except where it only waits.

A device operation once begun is finished or undone, else neither database would know its outcome.
Between two tries of one there is nothing under way, so there a cancellation is heard at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import trio

_shield: ContextVar[trio.CancelScope | None] = ContextVar("_shield", default=None)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Shield the body from cancellation, but for what it awaits through :func:`pause`."""
    with trio.CancelScope(shield=True) as scope:
        token = _shield.set(scope)
        try:
            yield
        finally:
            _shield.reset(token)


async def pause(seconds: float) -> None:
    """Sleep; here a cancellation from outside of :func:`undisturbed` ends the work."""
    scope = _shield.get()
    if scope is None:
        await trio.sleep(seconds)
        return
    scope.shield = False
    try:
        await trio.sleep(seconds)
    finally:
        scope.shield = True
