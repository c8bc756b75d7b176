"""Notes in order what was written to thin devices, once started: it grows with every write."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TracedWrite:
    """One request that changed a thin device: ``write`` or ``discard``, bytes."""

    device: str
    operation: str
    offset: int
    length: int


class WriteTrace:
    """Notes the requests of all devices of one device-mapper, as they end."""

    def __init__(self) -> None:
        self._noted: list[TracedWrite] | None = None

    def start(self) -> None:
        """Note from now on; what was noted before is dropped."""
        self._noted = []

    def take(self) -> tuple[TracedWrite, ...]:
        """Return what was noted since the last call, or since the start; empty when it was not started."""
        if self._noted is None:
            return ()
        taken = tuple(self._noted)
        self._noted.clear()
        return taken

    def note(self, write: TracedWrite) -> None:
        """Add one request."""
        if self._noted is not None:
            self._noted.append(write)
