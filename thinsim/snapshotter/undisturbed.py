"""`undisturbed` shields work on a device from cancellation, except while it only waits.

A device operation that has begun must be finished or undone, or neither database would have its outcome.
No operation runs between two tries, so a cancellation takes effect there at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import trio

_shield: ContextVar[trio.CancelScope | None] = ContextVar("_shield", default=None)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Shield the body from cancellation, except in :func:`pause`."""
    with trio.CancelScope(shield=True) as scope:
        token = _shield.set(scope)
        try:
            yield
        finally:
            _shield.reset(token)


async def pause(seconds: float) -> None:
    """Sleep, and let a cancellation from outside :func:`undisturbed` take effect here."""
    scope = _shield.get()
    if scope is None:
        await trio.sleep(seconds)
        return
    scope.shield = False
    try:
        await trio.sleep(seconds)
    finally:
        scope.shield = True
