"""What the engine knows of a device and of requests in flight beyond the state it saves."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from thinsim.thin.state import DeviceState


@dataclass(slots=True)
class DeviceRecord:
    """One thin device of a pool in service (dm-thin-metadata.c, struct dm_thin_device).

    *changed_in* is the number of the transaction that last changed it, *in_flight* the virtual
    blocks with a remapping write outstanding, *lost_changes* whether a transaction with changes of
    the device was aborted while it was open.
    """

    state: DeviceState
    open_count: int = 0
    changed_in: int = 0
    lost_changes: bool = False
    in_flight: set[int] = field(default_factory=set)


class InFlight:
    """References to data blocks that requests in flight hold, and no mapping."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def count(self, block: int) -> int:
        """Return the references held to *block*."""
        return self._counts.get(block, 0)

    def add(self, blocks: Iterable[int]) -> None:
        """Hold one reference more to each of *blocks*."""
        counts = self._counts
        for block in blocks:
            counts[block] = counts.get(block, 0) + 1

    def remove(self, blocks: Iterable[int]) -> None:
        """Hold one reference less to each of *blocks*."""
        counts = self._counts
        for block in blocks:
            left = counts[block] - 1
            if left:
                counts[block] = left
            else:
                del counts[block]
