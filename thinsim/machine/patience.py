"""Wait for what has no event to wait for, a bounded time."""

import time
from collections.abc import Callable


def soon(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether *condition* came true within *seconds*. Blocking."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
