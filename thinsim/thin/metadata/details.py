"""`DeviceDetails` has a thin device's numbers on disk (dm-thin-metadata.c, struct disk_device_details)."""

from dataclasses import dataclass
from typing import NamedTuple

from thinsim.thin.ids import ThinId

DETAILS_SIZE = 24
"""The size of the details on disk, in bytes."""


class DeviceDetails(NamedTuple):
    """A `DeviceDetails` has the saved numbers of a device.

    *creation_time* and *snapshotted_time* are the pool's time when the device was created and last
    snapshotted.
    """

    mapped_blocks: int
    transaction_id: int
    creation_time: int
    snapshotted_time: int


@dataclass(slots=True)
class ThinRecord:
    """A `ThinRecord` exists for a device that is open or has changed in the running transaction.

    *lost_changes* is True if a transaction with changes of the device was aborted
    (``aborted_with_changes``).
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
        """Return the details to save."""
        return DeviceDetails(
            self.mapped_blocks, self.transaction_id, self.creation_time, self.snapshotted_time
        )
