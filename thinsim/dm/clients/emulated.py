"""An `EmulatedDeviceMapper` sends the DeviceMapper verbs to the daemon of the emulated device-mapper."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fuse_backing.control import ControlClient
from fuse_backing.errors import ControlError, ServerGoneError
from fuse_backing.fuse_uring import Transport
from thinsim.dm.activity import Activity, ActivityKind
from thinsim.dm.interface import DeviceInfo
from thinsim.dm.names import MAPPER
from thinsim.dm.plane_traffic import PlaneTraffic
from thinsim.dm.write_trace import TracedWrite
from thinsim.errors import DeviceMapperError
from thinsim.thin.mapping import Run


class EmulatedDeviceMapper:
    """An `EmulatedDeviceMapper` is a client of the daemon that listens on *socket*.

    If the daemon does not answer, the DeviceMapperError has the socket's errno.
    """

    def __init__(self, socket: Path) -> None:
        self._client = ControlClient(socket)

    @property
    def socket(self) -> Path:
        """Return the path of the daemon's socket."""
        return self._client.path

    async def create(self, name: str, table: str, *, uuid: str = "", readonly: bool = False) -> None:
        await self._call("create", name=name, table=table, uuid=uuid, readonly=readonly)

    async def load(self, name: str, table: str, *, readonly: bool = False) -> None:
        await self._call("load", name=name, table=table, readonly=readonly)

    async def suspend(self, name: str, *, noflush: bool = False, nolockfs: bool = False) -> None:
        await self._call("suspend", name=name, noflush=noflush, nolockfs=nolockfs)

    async def resume(self, name: str) -> None:
        await self._call("resume", name=name)

    async def remove(
        self, name: str, *, deferred: bool = False, force: bool = False, retry: bool = False
    ) -> None:
        await self._call("remove", name=name, deferred=deferred, force=force, retry=retry)

    async def message(self, name: str, sector: int, text: str) -> None:
        await self._call("message", name=name, sector=sector, text=text)

    async def status(self, name: str, *, noflush: bool = False) -> str:
        return str(await self._call("status", name=name, noflush=noflush))

    async def table(self, name: str) -> str:
        return str(await self._call("table", name=name))

    async def info(self, name: str) -> DeviceInfo:
        return DeviceInfo(**await self._call("info", name=name))

    async def list(self) -> list[str]:
        return [str(name) for name in await self._call("list")]

    async def wait(self, name: str, event_nr: int) -> int:
        return int(await self._call("wait", name=name, event_nr=event_nr))

    def path(self, name: str) -> Path:
        return MAPPER / name

    async def mappings(self, pool: str) -> Mapping[int, Sequence[Run]]:
        """Return the mappings of each thin device, as thin_dump would: thin id to runs."""
        answer = await self._call("mappings", name=pool)
        return {int(thin_id): [Run(*run) for run in runs] for thin_id, runs in answer.items()}

    async def check(self, pool: str) -> Sequence[str]:
        """Return the problems that the metadata checker finds; empty if the pool is sound."""
        return [str(problem) for problem in await self._call("check", name=pool)]

    async def plane_traffic(self, pool: str | None = None) -> PlaneTraffic:
        """Return what was served without Python, for a pool or for all. No counter of the kernel has it."""
        return PlaneTraffic(**await self._call("traffic", **({} if pool is None else {"name": pool})))

    async def transport(self) -> Transport:
        """Return the way of the requests of all devices from the kernel to the emulated device-mapper."""
        return Transport(**await self._call("transport"))

    async def start_trace(self) -> None:
        """Start to record each write and discard on thin devices."""
        await self._call("trace-start")

    async def take_trace(self) -> tuple[TracedWrite, ...]:
        """Return the requests recorded since the last call."""
        return tuple(TracedWrite(*entry) for entry in await self._call("trace-take"))

    async def take_activity(self) -> tuple[Activity, ...]:
        """Return the events on thin devices since the last call."""
        return tuple(
            Activity(ActivityKind(act), device, thin_id, length, text)
            for act, device, thin_id, length, text in await self._call("activity-take")
        )

    async def _call(self, command: str, **arguments: object) -> Any:
        try:
            return await self._client.call(command, **arguments)
        except ServerGoneError as error:
            raise DeviceMapperError(
                error.errno, f"the emulated device-mapper does not answer on {self._client.path}"
            ) from error
        except ControlError as error:
            raise DeviceMapperError(error.errno, str(error)) from error
