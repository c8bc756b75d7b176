"""Device details are the numbers of one thin device (dm-thin-metadata.c, struct disk_device_details)."""

from dataclasses import dataclass
from typing import NamedTuple

from thinsim.thin.ids import ThinId

DETAILS_SIZE = 24
"""Bytes of the details on disk."""


class DeviceDetails(NamedTuple):
    """As saved; *creation_time* and *snapshotted_time* are the pool's time then."""

    mapped_blocks: int
    transaction_id: int
    creation_time: int
    snapshotted_time: int


@dataclass(slots=True)
class ThinRecord:
    """A device that is open, or has changed in the running transaction.

    *lost_changes*: a transaction with changes of the device was aborted (``aborted_with_changes``).
    """

    thin_id: ThinId
    mapped_blocks: int
    transaction_id: int
    creation_time: int
    snapshotted_time: int
    open_count: int = 0
    changed: bool = False
    lost_changes: bool = False

    def details(self) -> DeviceDetails:
        """Return what is saved."""
        return DeviceDetails(
            self.mapped_blocks, self.transaction_id, self.creation_time, self.snapshotted_time
        )
