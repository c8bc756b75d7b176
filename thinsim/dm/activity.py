"""Notes in order what was done to thin devices, whoever did it: for a subject that can't be asked."""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

_MOST = 100_000


class ActivityKind(StrEnum):
    """What was done."""

    ACTIVATED = "activated"
    """A table with the thin id went live."""
    DEACTIVATED = "deactivated"
    """The device went."""
    DISCARDED = "discarded"
    """A discard on the device was carried out; *length* bytes."""
    MESSAGE = "message"
    """The pool took a message; *text* is it."""


@dataclass(frozen=True, slots=True)
class Activity:
    """One act on *device*; *thin_id* is -1 for a message, whose device is the pool."""

    act: ActivityKind
    device: str
    thin_id: int
    length: int = 0
    text: str = ""


class ActivityLog:
    """The acts since they were last taken; the oldest go first when nobody takes them."""

    def __init__(self) -> None:
        self._acts: deque[Activity] = deque(maxlen=_MOST)

    def note(self, activity: Activity) -> None:
        """Add one."""
        self._acts.append(activity)

    def take(self) -> tuple[Activity, ...]:
        """Return what came since the last call."""
        taken = tuple(self._acts)
        self._acts.clear()
        return taken
