"""A minimal double of a device-mapper with one pool: names, thin ids, mapped sectors, no data.

It stands in only where no implementation can run; it knows the errnos, not dm-thin.
"""

import errno
from dataclasses import dataclass
from pathlib import Path

from thinsim.dm.interface import DeviceInfo
from thinsim.errors import DeviceMapperError


@dataclass
class _Device:
    table: str
    suspended: bool = False


class DeviceMapperDouble:
    """Holds devices by name and, per thin id, how many sectors are mapped."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._devices = {pool: _Device(f"0 2097152 thin-pool {pool}-meta {pool}-data 128 32768")}
        self.mapped: dict[int, int] = {}

    async def create(self, name: str, table: str, *, uuid: str = "", readonly: bool = False) -> None:
        if name in self._devices:
            raise DeviceMapperError(errno.EBUSY, f"create {name}")
        thin_id = int(table.split()[4])
        if thin_id not in self.mapped:
            raise DeviceMapperError(errno.ENODATA, f"create {name}")
        self._devices[name] = _Device(table)

    async def load(self, name: str, table: str) -> None:
        raise NotImplementedError

    async def suspend(self, name: str, *, noflush: bool = False, nolockfs: bool = False) -> None:
        self._find(name).suspended = True

    async def resume(self, name: str) -> None:
        self._find(name).suspended = False

    async def remove(
        self, name: str, *, deferred: bool = False, force: bool = False, retry: bool = False
    ) -> None:
        self._find(name)
        del self._devices[name]

    async def message(self, name: str, sector: int, text: str) -> None:
        self._find(name)
        verb, *numbers = text.split()
        ids = [int(number) for number in numbers]
        if verb == "delete":
            if ids[0] not in self.mapped:
                raise DeviceMapperError(errno.ENODATA, text)
            del self.mapped[ids[0]]
            return
        if ids[0] in self.mapped:
            raise DeviceMapperError(errno.EEXIST, text)
        if verb == "create_snap" and ids[1] not in self.mapped:
            raise DeviceMapperError(errno.ENODATA, text)
        self.mapped[ids[0]] = self.mapped[ids[1]] if verb == "create_snap" else 0

    async def status(self, name: str, *, noflush: bool = False) -> str:
        fields = self._find(name).table.split()
        mapped = self.mapped[int(fields[4])]
        return f"0 {fields[1]} thin {mapped} {mapped - 1 if mapped else '-'}"

    async def table(self, name: str) -> str:
        return self._find(name).table

    async def info(self, name: str) -> DeviceInfo:
        device = self._find(name)
        return DeviceInfo(
            name=name,
            major=253,
            minor=0,
            open_count=0,
            suspended=device.suspended,
            live_table=True,
            inactive_table=False,
            event_nr=0,
            deferred_remove=False,
        )

    async def list(self) -> list[str]:
        return sorted(self._devices)

    async def wait(self, name: str, event_nr: int) -> int:
        raise NotImplementedError

    def path(self, name: str) -> Path:
        return Path("/dev/mapper") / name

    def write(self, name: str, size: int) -> None:
        """Map the first *size* bytes of an active device."""
        thin_id = int(self._find(name).table.split()[4])
        self.mapped[thin_id] = max(self.mapped[thin_id], size // 512)

    def discard(self, name: str) -> None:
        self.mapped[int(self._find(name).table.split()[4])] = 0

    def _find(self, name: str) -> _Device:
        try:
            return self._devices[name]
        except KeyError:
            raise DeviceMapperError(errno.ENXIO, name) from None
