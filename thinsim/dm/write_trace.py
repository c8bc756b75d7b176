"""A `WriteTrace`, once started, records the writes to thin devices in order. It grows with every write."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TracedWrite:
    """A `TracedWrite` is one request that wrote to or discarded a range of a thin device, in bytes."""

    device: str
    operation: str
    offset: int
    length: int


class WriteTrace:
    """A `WriteTrace` records the requests to all devices of one device-mapper, as they end."""

    def __init__(self) -> None:
        self._noted: list[TracedWrite] | None = None
        self.when_started: Callable[[], None] = lambda: None
        """This is called when the trace begins to record."""

    @property
    def recording(self) -> bool:
        """Return whether the trace was started."""
        return self._noted is not None

    def start(self) -> None:
        """Start to record; earlier records are dropped."""
        self._noted = []
        self.when_started()

    def take(self) -> tuple[TracedWrite, ...]:
        """Return the records since the last call, or since the start; empty if it was not started."""
        if self._noted is None:
            return ()
        taken = tuple(self._noted)
        self._noted.clear()
        return taken

    def note(self, write: TracedWrite) -> None:
        """Add one request."""
        if self._noted is not None:
            self._noted.append(write)
