"""Checks the law that every measurement must obey: host bytes freed = sum of the ledger.

Both sides are measured apart: what the host holds for the data file is asked of the host itself, by the
accounting of its file system (``fuse_backing.accounting``: the extents on disk of btrfs, the clusters of ext4
with bigalloc, what the file maps elsewhere); the ledger is the store's account of each punch. A difference is
a bug of thinsim or of the machine, so it ends the run.

One thing frees bytes without a punch: an overwrite on a host that writes elsewhere (btrfs). The rigs have
their files there be overwritten in place, so that no term for it is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from thinsim.errors import InvariantError
from thinsim.ranges import Range, subtract, total


class ConservationError(InvariantError):
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
    """Compare what the host held around *step* with the ledger; ConservationError on any difference.

    *written* is the most that the step's writes can have made the host allocate. Where a step both writes
    and punches the same blocks, before and after can't tell how often a byte went; then it must hold that
    what the ledger freed beyond their difference was allocated by writes of this very step.
    """
    freed = total(subtract(before, after))
    grown = total(subtract(after, before))
    surplus = ledger_freed - freed
    if not 0 <= surplus <= written:
        raise ConservationError(
            f"step {step!r}: the host got back {freed} bytes by its own account, the ledger says "
            f"{ledger_freed} (the file grew by {grown} bytes; what was written explains {written} at most)"
        )
    return Exchange(host_freed=freed + surplus, host_grown=grown + surplus, ledger_freed=ledger_freed)
