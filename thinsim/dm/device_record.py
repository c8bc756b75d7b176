"""What the device-mapper remembers of one device."""

from dataclasses import dataclass, field

import trio

from thinsim.dm.active_pool import ActivePool
from thinsim.dm.thin_volume import ThinVolume
from thinsim.thin.table import PoolTable, ThinTable


@dataclass(slots=True, eq=False)
class DeviceRecord:
    """One device-mapper device; a pool has no *volume*."""

    name: str
    uuid: str
    table: PoolTable | ThinTable
    pool: ActivePool
    volume: ThinVolume | None = None
    number: tuple[int, int] = (0, 0)
    suspended: bool = False
    frozen: bool = False
    deferred_remove: bool = False
    users: int = 0  # thin devices on a pool
    lock: trio.Lock = field(default_factory=trio.Lock)  # one verb at a time on a device
    removed: trio.Event = field(default_factory=trio.Event)

    @property
    def is_pool(self) -> bool:
        """Whether it is a pool, not a thin device."""
        return self.volume is None
