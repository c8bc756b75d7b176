"""`Interception` carries out plans before and after the acts of a snapshotter on its devices.

A scenario can kill the snapshotter at an exact point, or close a busy device at another. Discards are timed.
Acts without a plan only pass through.
"""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

from thinsim.dm.interface import DeviceMapper
from thinsim.measure.discard_clock import DiscardClock
from thinsim.snapshotter.host import SnapshotHost
from thinsim.snapshotter.interface import Mount

_Result = TypeVar("_Result")

When = Literal["before", "after"]
_MESSAGES = {"create_thin": "create", "create_snap": "create", "delete": "delete"}


class SnapshotterKilledError(BaseException):
    """A `SnapshotterKilledError` unwinds a call of a snapshotter that has just been killed.

    It is a BaseException, so that no code of the snapshotter handles it as a failure.
    """


@dataclass(frozen=True, slots=True)
class InterceptionPlan:
    """An `InterceptionPlan` calls *do* once, at the next *act* on *device*. An empty *device* means any."""

    when: When
    act: str
    device: str
    do: Callable[[], None]


class Around(Protocol):
    """An `Around` wraps each act of a snapshotter on a device."""

    async def around(self, act: str, device: str, call: Callable[[], Awaitable[_Result]]) -> _Result:
        """Await *call* and return its result."""


class Interception:
    """An `Interception` keeps the plans, and *clock* times the discards."""

    def __init__(self, clock: DiscardClock) -> None:
        self.clock = clock
        self.plans: list[InterceptionPlan] = []
        self.killed = False
        """True when the snapshotter is dead and must not change its devices any more."""

    async def around(self, act: str, device: str, call: Callable[[], Awaitable[_Result]]) -> _Result:
        """Await *call* and return its result; carry out the plans before and after it."""
        self._carry_out("before", act, device)
        if self.killed:
            raise SnapshotterKilledError
        with self.clock.timing() if act == "discard" else nullcontext():
            result = await call()
        self._carry_out("after", act, device)
        return result

    def _carry_out(self, when: When, act: str, device: str) -> None:
        for plan in list(self.plans):
            if (plan.when, plan.act) == (when, act) and plan.device in ("", device):
                self.plans.remove(plan)
                plan.do()


def _act_of(message: str) -> str:
    word = message.split(maxsplit=1)[0].lower()
    return _MESSAGES.get(word, word)


class _WatchedDeviceMapper:
    """A `_WatchedDeviceMapper` wraps a DeviceMapper; the calls without a method here go straight to it."""

    def __init__(self, dm: DeviceMapper, interception: Around) -> None:
        self._dm = dm
        self._interception = interception

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dm, name)

    async def create(self, name: str, table: str, **options: Any) -> None:
        await self._interception.around("activate", name, lambda: self._dm.create(name, table, **options))

    async def remove(self, name: str, **options: Any) -> None:
        await self._interception.around("deactivate", name, lambda: self._dm.remove(name, **options))

    async def suspend(self, name: str, **options: Any) -> None:
        await self._interception.around("suspend", name, lambda: self._dm.suspend(name, **options))

    async def resume(self, name: str) -> None:
        await self._interception.around("resume", name, lambda: self._dm.resume(name))

    async def message(self, name: str, sector: int, text: str) -> None:
        act = _act_of(text)
        await self._interception.around(act, "", lambda: self._dm.message(name, sector, text))

    async def load(self, name: str, table: str, **options: Any) -> None:
        await self._interception.around("load", name, lambda: self._dm.load(name, table, **options))


class _WatchedHost:
    def __init__(self, host: SnapshotHost, interception: Around) -> None:
        self._host = host
        self._interception = interception

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        make = self._host.make_filesystem
        await self._interception.around("mkfs", device.name, lambda: make(device, fs_type, fs_options))

    async def discard(self, device: Path, step: int | None = None) -> None:
        await self._interception.around("discard", device.name, lambda: self._host.discard(device, step))

    async def remove_lost_and_found(self, mount: Mount) -> None:
        await self._host.remove_lost_and_found(mount)


def watched(dm: DeviceMapper, host: SnapshotHost, interception: Around) -> tuple[DeviceMapper, SnapshotHost]:
    """Return *dm* and *host*, both watched by *interception*."""
    return cast(DeviceMapper, _WatchedDeviceMapper(dm, interception)), _WatchedHost(host, interception)
