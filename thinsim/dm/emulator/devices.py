"""`Devices` finds devices by name, uuid and number, and allows one verb at a time on a device."""

import errno
import os
import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from thinsim.dm.emulator.mapped_device import MappedDevice
from thinsim.dm.emulator.runner import Runner
from thinsim.dm.names import MAPPER
from thinsim.errors import DeviceMapperError

_NUMBER = re.compile(r"(\d+):(\d+)", re.ASCII)


class Devices(dict[str, MappedDevice]):
    """`Devices` has the mapped devices by name."""

    def __init__(self, run: Runner) -> None:
        super().__init__()
        self._run = run

    def find(self, name: str) -> MappedDevice:
        """Return a device by its name or path; ENXIO if it does not exist."""
        try:
            return self[bare_name(name)]
        except KeyError:
            raise DeviceMapperError(errno.ENXIO, f"device {name} not found") from None

    def by_uuid(self, uuid: str) -> MappedDevice:
        """Return a device by its uuid; ENXIO if it does not exist."""
        for device in self.values():
            if device.uuid == uuid:
                return device
        raise DeviceMapperError(errno.ENXIO, f"device with uuid {uuid} not found")

    def by_number(self, number: tuple[int, int]) -> MappedDevice:
        """Return a device by major and minor; ENXIO if it does not exist."""
        for device in self.values():
            if device.number == number:
                return device
        raise DeviceMapperError(errno.ENXIO, f"device {number[0]}:{number[1]} not found")

    def check_free(self, name: str) -> None:
        """Raise EBUSY if a device has this name."""
        if name in self:
            raise DeviceMapperError(errno.EBUSY, f"device {name} already exists")

    def add(self, device: MappedDevice) -> None:
        """Add a device; EBUSY if its name or uuid is taken (dm-ioctl.c, dm_hash_insert)."""
        self.check_free(device.name)
        if device.uuid and any(other.uuid == device.uuid for other in self.values()):
            raise DeviceMapperError(errno.EBUSY, f"another device already has the uuid {device.uuid}")
        self[device.name] = device

    def rename(self, device: MappedDevice, name: str) -> None:
        """Rename a device."""
        del self[device.name]
        device.name = name
        self[name] = device

    def give_uuid(self, device: MappedDevice, uuid: str) -> None:
        """Set a device's missing uuid; EINVAL if it has one, EBUSY if *uuid* is taken (dm_hash_rename)."""
        if any(other.uuid == uuid for other in self.values()):
            raise DeviceMapperError(errno.EBUSY, f"another device already has the uuid {uuid}")
        if device.uuid:
            raise DeviceMapperError(errno.EINVAL, f"device {device.name} already has a uuid: {device.uuid}")
        device.uuid = uuid

    def drop(self, device: MappedDevice) -> None:
        """Forget a device."""
        del self[device.name]

    async def own(self, word: str) -> MappedDevice | None:
        """Return the device that a table names by path or major:minor, or None if it is not one of ours."""
        match = _NUMBER.fullmatch(word)
        if match is not None:
            number = (int(match[1]), int(match[2]))
        elif word.startswith(f"{MAPPER}/") and bare_name(word) in self:
            return self[bare_name(word)]
        else:
            # On a thread: the path may lie on a mount that this process serves.
            number = await self._run(_number_of_node, word)
        if number == (0, 0):
            return None
        return next((device for device in self.values() if device.number == number), None)

    @asynccontextmanager
    async def holding(self, device: MappedDevice) -> AsyncIterator[MappedDevice]:
        """Keep other verbs off a device; ENXIO if it was removed while this verb waited."""
        async with device.lock:
            if self.get(device.name) is not device:
                raise DeviceMapperError(errno.ENXIO, f"device {device.name} not found")
            yield device


def bare_name(name: str) -> str:
    """Return *name* without /dev/mapper/: dmsetup and tables may name a device by its path."""
    return name.removeprefix(f"{MAPPER}/")


def _number_of_node(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError:
        return (0, 0)
    if not stat.S_ISBLK(status.st_mode):
        return (0, 0)
    return os.major(status.st_rdev), os.minor(status.st_rdev)
