"""What a pool remembers between activations, as values: the content of its metadata device."""

from dataclasses import dataclass, field

from thinsim.thin.mapping import Mappings
from thinsim.units import Sectors


@dataclass(slots=True)
class DeviceState:
    """One thin device (dm-thin-metadata.c, struct disk_device_details, and the device's mapping tree)."""

    mappings: Mappings
    transaction_id: int
    creation_time: int
    snapshotted_time: int

    def copy(self) -> "DeviceState":
        """Return an independent copy."""
        return DeviceState(
            self.mappings.copy(), self.transaction_id, self.creation_time, self.snapshotted_time
        )


@dataclass(slots=True)
class HeldSnapshot:
    """The metadata snapshot: every device's mappings at ``reserve_metadata_snap``; it keeps their blocks."""

    root: int
    devices: dict[int, DeviceState]


@dataclass(slots=True)
class PoolState:
    """One transaction of a pool.

    *leaked* are data blocks with one reference more than mappings: a write to them failed, and as in
    the kernel only a repair of the metadata gives them back. Blocks of requests in flight are no part
    of the state, so that a crash leaves nothing behind.
    """

    block_size: Sectors
    nr_data_blocks: int = 0
    transaction_id: int = 0
    time: int = 0
    needs_check: bool = False
    devices: dict[int, DeviceState] = field(default_factory=dict)
    held: HeldSnapshot | None = None
    leaked: list[int] = field(default_factory=list)
