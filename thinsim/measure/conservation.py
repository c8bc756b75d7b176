"""Every measurement obeys one law: the bytes that the host freed equal the sum of the ledger.

Both sides are measured separately. The host's file system reports the bytes that it holds for the data file
(``fuse_backing.accounting``: extents on disk on btrfs, clusters on ext4 with bigalloc, the file's map
elsewhere). The ledger is the store's record of each punch. A difference is a fault of thinsim or of the
machine, so it ends the run.

Only one thing frees bytes without a punch: an overwrite on a host that writes to a new place (btrfs). The
rigs make such hosts overwrite in place, so the law needs no term for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from thinsim.errors import InvariantError
from thinsim.ranges import Range, subtract, total


class ConservationError(InvariantError):
    """The host and the ledger disagree."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An `Exchange` counts the bytes that one step moved between pool and host."""

    host_freed: int
    host_grown: int
    ledger_freed: int


def exchange(
    step: str, before: Sequence[Range], after: Sequence[Range], ledger_freed: int, written: int
) -> Exchange:
    """Compare the ranges that the host held before and after *step* with the ledger.

    *written* is the most bytes that the writes of this step can have allocated. If a step both writes and
    punches the same blocks, the two states do not show how often a byte was freed. The surplus of the ledger
    must then come from writes of this very step. ConservationError on any other difference.
    """
    freed = total(subtract(before, after))
    grown = total(subtract(after, before))
    surplus = ledger_freed - freed
    if not 0 <= surplus <= written:
        raise ConservationError(
            f"step {step!r}: the host freed {freed} bytes by its own account, but the ledger has "
            f"{ledger_freed} (the file grew by {grown} bytes; the step's writes explain {written} at most)"
        )
    return Exchange(host_freed=freed + surplus, host_grown=grown + surplus, ledger_freed=ledger_freed)
