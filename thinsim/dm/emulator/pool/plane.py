"""A `PoolPlane` serves the requests of a pool's thin devices that change no mapping, without Python."""

from typing import Protocol

from thinsim.block.interface import BlockDevice
from thinsim.dm.emulator.bypass import Bypass, NoBypass
from thinsim.dm.plane_traffic import PlaneTraffic, without_plane
from thinsim.dm.write_trace import WriteTrace
from thinsim.thin.device import ThinDevice
from thinsim.thin.pool import Pool


class PoolPlane(Bypass, Protocol):
    """A `PoolPlane` repeats what the engine has decided: it knows mappings that Python has looked up.

    It is held while a mapping changes. With the last release it takes over what else the engine decides: the
    mode of the pool, and for each device its last snapshot and whether it has changed since the last commit.
    """

    def learn(self, device: ThinDevice, offset: int, length: int) -> None:
        """Look up the mappings of a range of bytes, and of its neighbours.

        Call it while no mapping changes. Raises what a look-up of *device* raises.
        """

    def changing(self, device: ThinDevice, offset: int, length: int) -> None:
        """Forget the mappings of a range of bytes, and serve no flush of *device* from now on.

        Call it before they change, while it is held; no hold is needed if only unmapped blocks change.
        """

    def take_over(self) -> bool:
        """Take over what else the engine decides, while it is not held.

        Return False if mappings were lost: then it must be held and released.
        """

    def below(self, data: BlockDevice) -> BlockDevice:
        """Return the device that Python reads and writes in place of *data*, the pool's data device."""

    def traffic(self) -> PlaneTraffic:
        """Return what was served, with what Python wrote past the data device."""

    def close(self) -> None:
        """Serve nothing any more; call it after the last device is closed."""


class NoPoolPlane(NoBypass):
    """A `NoPoolPlane` serves nothing."""

    def __init__(self, traffic: PlaneTraffic | None = None) -> None:
        self._traffic = traffic or PlaneTraffic()

    def learn(self, device: ThinDevice, offset: int, length: int) -> None:
        """Do nothing."""

    def changing(self, device: ThinDevice, offset: int, length: int) -> None:
        """Do nothing."""

    def take_over(self) -> bool:
        """Return True."""
        return True

    def below(self, data: BlockDevice) -> BlockDevice:
        """Return *data*."""
        return data

    def traffic(self) -> PlaneTraffic:
        """Return zeros."""
        return self._traffic

    def close(self) -> None:
        """Do nothing."""


class Plane(Protocol):
    """A `Plane` makes the planes of pools."""

    def of_pool(self, engine: Pool, data: BlockDevice, trace: WriteTrace) -> PoolPlane:
        """Return the plane of a pool that was just opened on *data*.

        While *trace* records, it serves no writes. It may open files, so it runs on a worker thread.
        """

    def traffic(self) -> PlaneTraffic:
        """Return what was served for all pools, those that are closed included."""


class NoPlane:
    """A `NoPlane` makes planes that serve nothing, because of *why*."""

    def __init__(self, why: str = "") -> None:
        self._traffic = without_plane(why)

    def of_pool(self, engine: Pool, data: BlockDevice, trace: WriteTrace) -> PoolPlane:
        """Return a plane that serves nothing."""
        return NoPoolPlane(self._traffic)

    def traffic(self) -> PlaneTraffic:
        """Return zeros and the reason."""
        return self._traffic


class DeviceBypass(Bypass, Protocol):
    """A `DeviceBypass` lets requests of one mapped device through to the plane of a pool."""

    def aim(self, plane: PoolPlane | None, device: ThinDevice | None, *, read_only: bool) -> None:
        """Let requests through to *device* of the pool of *plane* from now on; None lets none through.

        Call it while it is held and idle.
        """


class NoDeviceBypass(NoBypass):
    """A `NoDeviceBypass` lets no request through."""

    def aim(self, plane: PoolPlane | None, device: ThinDevice | None, *, read_only: bool) -> None:
        """Do nothing."""
