"""`active_pools` finds the thin pools of this machine: the kernel's, and those of emulated device-mappers.

It asks the kernel's device-mapper, the permanent emulated one (``thinsim dm``) and the one of each run that
is in progress.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from thinsim.block.kernel_view import node_of
from thinsim.did_you_mean import did_you_mean
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.clients.kernel import KernelDeviceMapper
from thinsim.dm.standing.places import sockets
from thinsim.errors import ConflictError, DeviceMapperError, EnvironmentLacksError
from thinsim.machine.dmsetup import kernel_has_device_mapper
from thinsim.machine.root import if_not_root
from thinsim.thin.table import (
    POOL_TARGET,
    THIN_TARGET,
    PoolTable,
    parse_pool_table,
    parse_thin_table,
    target_type,
)
from thinsim.units import bytes_of

_PATIENCE = 10.0
"""Seconds to wait for the pools of one device-mapper: another run's may hang."""

PoolMapper = EmulatedDeviceMapper | KernelDeviceMapper


@dataclass(frozen=True, slots=True)
class NodePool:
    """A `NodePool` is a pool by its name, its device-mapper and its table."""

    name: str
    dm: PoolMapper
    table: PoolTable

    @property
    def in_kernel(self) -> bool:
        """Return whether the kernel's dm-thin serves the pool."""
        return isinstance(self.dm, KernelDeviceMapper)

    @property
    def block_bytes(self) -> int:
        """Return the size of a data block in bytes."""
        return bytes_of(self.table.block_size)

    @property
    def data_device(self) -> Path:
        """Return the node of the data device."""
        return node_of(self.table.data_dev)

    @property
    def metadata_device(self) -> Path:
        """Return the node of the metadata device."""
        return node_of(self.table.metadata_dev)


@dataclass(frozen=True, slots=True)
class PoolSearch:
    """A `PoolSearch` has the pools that were found, and the device-mappers that did not answer."""

    pools: Sequence[NodePool]
    silent: Sequence[str]


async def active_pools() -> PoolSearch:
    """Return all pools of this machine, sorted by name."""
    found: list[NodePool] = []
    silent: list[str] = []
    for dm in _device_mappers():
        with suppress(DeviceMapperError), trio.move_on_after(_PATIENCE) as waiting:
            found += await _pools(dm)
        if waiting.cancelled_caught:
            silent.append(f"{_name(dm)} did not answer in {_PATIENCE:.0f} s")
    return PoolSearch(sorted(found, key=lambda pool: pool.name), silent)


async def find_active_pool(name: str) -> NodePool:
    """Return the pool *name*. ConflictError, with the names of all others, if it is not active."""
    search = await active_pools()
    for pool in search.pools:
        if pool.name == name:
            return pool
    names = [pool.name for pool in search.pools]
    others = did_you_mean(name, names) or f"; running pools: {', '.join(names) or 'none'}"
    silent = "".join(f"; {each}" for each in search.silent)
    raise ConflictError(f"pool {name!r} is not running{others}{silent}{if_not_root('Pools')}")


async def active_thins(pool: NodePool) -> dict[int, str]:
    """Return the names of the active thin devices of *pool* by their thin ids."""
    info = await pool.dm.info(pool.name)
    number, found = f"{info.major}:{info.minor}", {}
    for name, line in (await _thin_tables(pool.dm)).items():
        table = parse_thin_table(line)
        if table.pool_dev == number:
            found[int(table.thin_id)] = name
    return found


async def _thin_tables(dm: PoolMapper) -> dict[str, str]:
    if isinstance(dm, KernelDeviceMapper):
        return await dm.tables(THIN_TARGET)
    lines = {}
    for name in await dm.list():
        with suppress(DeviceMapperError):  # it is gone meanwhile
            line = await dm.table(name)
            if target_type(line) == THIN_TARGET:
                lines[name] = line
    return lines


def _device_mappers() -> Iterator[PoolMapper]:
    if kernel_has_device_mapper():
        with suppress(EnvironmentLacksError):  # no dmsetup: no permission to look, or no pools made with it
            yield KernelDeviceMapper()
    yield from map(EmulatedDeviceMapper, sockets())


def _name(dm: PoolMapper) -> str:
    if isinstance(dm, EmulatedDeviceMapper):
        return f"the device-mapper on {dm.socket}"
    return "the kernel's device-mapper"


async def _pools(dm: PoolMapper) -> list[NodePool]:
    if isinstance(dm, KernelDeviceMapper):
        lines = await dm.tables(POOL_TARGET)
        return [NodePool(name, dm, parse_pool_table(line)) for name, line in lines.items()]
    found = []
    for name in await dm.list():
        with suppress(DeviceMapperError):  # it has another target, or is gone meanwhile
            found.append(NodePool(name, dm, parse_pool_table(await dm.table(name))))
    return found
