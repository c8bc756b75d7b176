"""A `ReclaimProgress` counts what a reclaim has done so far; it is also the result."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from thinsim.node.reclaim.candidates import FreedRun, held_bytes
from thinsim.node.reclaim.data_place import PoolData
from thinsim.ranges import Range, total


@dataclass(slots=True)
class ReclaimProgress:
    """A `ReclaimProgress` counts what a reclaim has done so far, in bytes, seconds and pauses."""

    pool: str
    """The name of the pool, or the path of its data."""
    promised: int = 0
    """Bytes that the host held for free blocks at the start."""
    pieces: int = 0
    """Runs of free blocks for which the host held them."""
    discarded: int = 0
    """Bytes that were discarded."""
    freed: int | None = None
    """Bytes of these that the host has freed, by its map of the file; None if it has none."""
    left: int | None = None
    """Bytes that the host still holds for free blocks at the end; None if it has no map."""
    rounds: int = 0
    """Rounds over the free blocks."""
    pauses: int = 0
    """Pauses of the pool."""
    longest_pause: float = 0.0
    """The longest pause in seconds."""
    paused: float = 0.0
    """The time of all pauses in seconds."""
    suspending: float = 0.0
    """The part of it that suspends and resumes took."""
    seconds: float = 0.0
    """The time of the whole reclaim."""
    way: str = ""
    """The way in which the space was freed."""
    unmapped: str = ""
    """The reason why no map of the host shows the result."""
    held_before: int | None = None
    """Bytes that the host held for the data file before."""
    held_after: int | None = None
    """Bytes that the host held for the data file at the end."""
    complete: bool = False
    """True unless the reclaim was interrupted."""

    def begin(self, found: Sequence[FreedRun], place: PoolData) -> None:
        """Count the candidates that were *found* at the start, with the *place* of the data."""
        self.promised, self.pieces = held_bytes(found), len(found)
        self.way, self.unmapped = place.freer.words, place.unmapped
        self.held_before = place.held()
        self.freed = None if place.file is None else 0

    def add(self, pause: "PauseResult") -> None:
        """Count a pause."""
        self.pauses += 1
        self.discarded += total(pause.discarded)
        self.paused += pause.seconds
        self.suspending += pause.suspend + pause.resume
        self.longest_pause = max(self.longest_pause, pause.seconds)

    def to_json(self) -> dict[str, object]:
        """Return the progress as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PauseResult:
    """A `PauseResult` is what one pause did; times are in seconds."""

    discarded: Sequence[Range]
    """The discarded ranges of the data device, in bytes."""
    seconds: float
    """The time from the begin of the suspend to the end of the resume."""
    suspend: float
    """The time that the suspend took."""
    resume: float
    """The time that the resume took."""


ProgressReport = Callable[[ReclaimProgress], None]
"""A `ProgressReport` receives the progress after each pause."""
