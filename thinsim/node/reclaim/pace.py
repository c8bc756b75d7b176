"""A `Pace` decides how much a pause of the pool may do, from the times of the pauses before. Pure."""

from dataclasses import dataclass

_FIRST_PIECE = 1 << 20
_LARGEST_PIECE = 1 << 30


@dataclass(slots=True)
class Pace:
    """A `Pace` keeps each pause of the pool below *limit* seconds, as far as the pool itself allows.

    A pause begins with the suspend and ends with the resume, which take time of their own.
    """

    limit: float
    unit: int
    """The smallest piece in bytes: a data block."""
    share: float = 0.2
    """The largest share of the time for which the pool is suspended."""
    rate: int | None = None
    """The most bytes to discard in a second."""
    piece: int = 0
    """Bytes of the next discard."""

    def __post_init__(self) -> None:
        self.piece = self._bounded(_FIRST_PIECE)

    @property
    def most(self) -> int:
        """Return the bytes that one pause may discard: a tenth of what the rate allows in a second."""
        return max(self.unit, self.rate // 10 // self.unit * self.unit) if self.rate else 1 << 62

    def has_time(self, since_begin: float, since_suspend: float, resume: float) -> bool:
        """Return whether a pause that began *since_begin* seconds ago has time for another piece.

        *since_suspend* is the time since the pool is suspended, and *resume* the time that the resume will
        take. A quarter of the limit is for discards in any case: otherwise almost nothing would be freed
        where a suspend alone takes as long as the limit.
        """
        return since_begin + resume < self.limit or since_suspend < self.limit / 4

    def learn_piece(self, length: int, seconds: float) -> None:
        """Adapt the next piece to a discard of *length* bytes that took *seconds*.

        It doubles while a discard takes less than an eighth of the limit, and halves above a quarter.
        """
        if seconds > self.limit / 4:
            self.piece = self._bounded(length // 2 // self.unit * self.unit)
        elif seconds < self.limit / 8 and length >= self.piece:
            self.piece = self._bounded(min(_LARGEST_PIECE, self.piece * 2))

    def rest(self, paused: float, freed: int) -> float:
        """Return the seconds to wait after a pause of *paused* seconds that discarded *freed* bytes."""
        by_share = paused * (1 / self.share - 1)
        by_rate = freed / self.rate - paused if self.rate else 0.0
        return max(by_share, by_rate)

    def _bounded(self, piece: int) -> int:
        return max(self.unit, min(piece, self.most))
