"""An `ActivityLog` records what happens to thin devices, in order.

It is for a subject that can't be queried itself.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

_MOST = 100_000


class ActivityKind(StrEnum):
    """An `ActivityKind` names one kind of event."""

    ACTIVATED = "activated"
    """A table with the thin id went live."""
    DEACTIVATED = "deactivated"
    """A live table with the thin id was closed."""
    DISCARDED = "discarded"
    """A discard of *length* bytes on the device was carried out."""
    MESSAGE = "message"
    """The pool received the message *text*."""


@dataclass(frozen=True, slots=True)
class Activity:
    """An `Activity` records one event on *device*. *thin_id* is -1 for a message; its device is the pool."""

    act: ActivityKind
    device: str
    thin_id: int
    length: int = 0
    text: str = ""


class ActivityLog:
    """An `ActivityLog` keeps the latest events, up to 100,000, until they are taken."""

    def __init__(self) -> None:
        self._acts: deque[Activity] = deque(maxlen=_MOST)

    def note(self, activity: Activity) -> None:
        """Add one event."""
        self._acts.append(activity)

    def take(self) -> tuple[Activity, ...]:
        """Return the events since the last call."""
        taken = tuple(self._acts)
        self._acts.clear()
        return taken
