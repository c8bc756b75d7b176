"""The law that every measurement must obey: host bytes freed = sum of the ledger.

Both sides are measured apart: the host's allocation is read from the host's own extent map of the
data file, the ledger is the store's account of each punch. A difference is a bug of the bench or
of the machine, so it ends the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from thinsim.errors import BenchError
from thinsim.measure.ranges import Range, subtract, total


class ConservationError(BenchError):
    """Host and ledger disagree."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one step moved between pool and host, bytes."""

    host_freed: int
    host_grown: int
    ledger_freed: int


def exchange(
    step: str, before: Sequence[Range], after: Sequence[Range], ledger_freed: int, written: int
) -> Exchange:
    """Compare the host's extent maps around *step* with the ledger; ConservationError on any difference.

    *written* is what the data device was written in the step. Where a step both writes and punches
    the same blocks the maps alone can't tell how often a byte went; then it must hold that what
    the ledger freed beyond the maps' difference was written in this very step.
    """
    freed = total(subtract(before, after))
    grown = total(subtract(after, before))
    surplus = ledger_freed - freed
    if not 0 <= surplus <= written:
        raise ConservationError(
            f"step {step!r}: the host got back {freed} bytes by its own extent map, the ledger says "
            f"{ledger_freed} (the file grew by {grown} bytes; the data device was written {written} bytes)"
        )
    return Exchange(host_freed=freed + surplus, host_grown=grown + surplus, ledger_freed=ledger_freed)
