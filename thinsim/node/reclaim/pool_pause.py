"""A `PoolPause` suspends and resumes one pool; the guard makes its own from the same words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.clients.kernel_control import KernelControl
from thinsim.node.active_pools import NodePool

_KERNEL = "kernel"
_EMULATED = "emulated"


class PoolPause(Protocol):
    """A `PoolPause` suspends one pool. Each verb raises DeviceMapperError with the kernel's errno."""

    @property
    def words(self) -> Sequence[str]:
        """Return words from which `pause_from` makes the same object in another process."""

    async def suspend(self) -> None:
        """Suspend the pool: it holds the I/O of its thin devices, and commits."""

    async def resume(self) -> None:
        """Resume the pool; a pool that runs stays as it is."""

    async def is_suspended(self) -> bool:
        """Return whether the pool is suspended."""


@dataclass(slots=True)
class KernelPause:
    """A `KernelPause` suspends the kernel's pool *name* by ioctl, which needs no process and no file."""

    name: str
    _control: KernelControl = field(default_factory=KernelControl)

    @property
    def words(self) -> Sequence[str]:
        return _KERNEL, self.name

    async def suspend(self) -> None:
        self._control.suspend(self.name)

    async def resume(self) -> None:
        self._control.resume(self.name)

    async def is_suspended(self) -> bool:
        return self._control.is_suspended(self.name)


@dataclass(slots=True)
class EmulatedPause:
    """An `EmulatedPause` suspends pool *name* of the emulated device-mapper that listens on *socket*."""

    name: str
    socket: Path

    @property
    def words(self) -> Sequence[str]:
        return _EMULATED, self.name, str(self.socket)

    async def suspend(self) -> None:
        await EmulatedDeviceMapper(self.socket).suspend(self.name)

    async def resume(self) -> None:
        await EmulatedDeviceMapper(self.socket).resume(self.name)

    async def is_suspended(self) -> bool:
        return (await EmulatedDeviceMapper(self.socket).info(self.name)).suspended


def pause_of(pool: NodePool) -> PoolPause:
    """Return the pause of *pool*. EnvironmentLacksError without permission for the kernel's device-mapper."""
    if isinstance(pool.dm, EmulatedDeviceMapper):
        return EmulatedPause(pool.name, pool.dm.socket)
    return KernelPause(pool.name)


def pause_from(words: Sequence[str]) -> PoolPause:
    """Return the pause with these *words*."""
    kind, name, *socket = words
    return KernelPause(name) if kind == _KERNEL else EmulatedPause(name, Path(socket[0]))
