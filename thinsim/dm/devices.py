"""What the device-mapper remembers: its devices by name, and which verb is at work on one."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from thinsim.dm.active_pool import ActivePool
from thinsim.dm.nodes import MAPPER
from thinsim.dm.thin_volume import ThinVolume
from thinsim.errors import DeviceMapperError
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
    inactive: PoolTable | None = None  # loaded, and live after the next resume
    users: int = 0  # thin devices on a pool
    lock: trio.Lock = field(default_factory=trio.Lock)  # one verb at a time on a device
    removed: trio.Event = field(default_factory=trio.Event)

    @property
    def is_pool(self) -> bool:
        """Whether it is a pool, not a thin device."""
        return self.volume is None


class Devices(dict[str, DeviceRecord]):
    """The devices by name."""

    def find(self, name: str) -> DeviceRecord:
        """Return a device by its name or path; ENXIO for none."""
        try:
            return self[bare_name(name)]
        except KeyError:
            raise DeviceMapperError(errno.ENXIO, f"device {name} not found") from None

    @asynccontextmanager
    async def holding(self, name: str) -> AsyncIterator[DeviceRecord]:
        """Find a device and keep other verbs off it; ENXIO, also when it went while we waited."""
        device = self.find(name)
        async with device.lock:
            if self.find(name) is not device:
                raise DeviceMapperError(errno.ENXIO, f"device {name} not found")
            yield device


def bare_name(name: str) -> str:
    """A device may be named by its path, as in dmsetup and in tables."""
    return name.removeprefix(f"{MAPPER}/")
