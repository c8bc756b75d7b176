"""`find_pool` finds a running pool by its name, with its device-mapper and its backing store.

It asks the permanent device-mapper (``thinsim pool``) and the one of each run that is in progress. From the
pool's table it follows the data device to the loop device, the loop device's file and that file's store.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from fuse_backing.errors import ControlError
from fuse_backing.mounts import FSTYPE, mounts
from fuse_backing.runtime import control_socket
from fuse_backing.store_client import StoreClient
from thinsim.block import loop
from thinsim.did_you_mean import did_you_mean
from thinsim.dm.clients.emulated import EmulatedDeviceMapper
from thinsim.dm.standing.places import sockets
from thinsim.errors import ConflictError, DeviceMapperError, ProgramFailedError
from thinsim.machine.root import if_not_root
from thinsim.machine.sockets import runtime_directory
from thinsim.thin.table import PoolTable, parse_pool_table
from thinsim.units import bytes_of

_LOOP_MAJOR = re.compile(r"7:(\d+)")
_PATIENCE = 10.0
"""Seconds to wait for the pools of one device-mapper: another run's may hang."""


@dataclass(frozen=True, slots=True)
class FoundPool:
    """A `FoundPool` names a pool's device-mapper and the place of its data.

    The data is in *file* on the mount of *store*, and in *host_file* below the store.
    """

    name: str
    dm: EmulatedDeviceMapper
    block_bytes: int
    store: StoreClient
    file: str
    host_file: Path


async def find_pool(name: str) -> FoundPool:
    """Return the running pool *name*. Raise ConflictError if it does not run, or has no backing store."""
    seen: list[str] = []
    silent = ""
    for socket in sockets():
        dm = EmulatedDeviceMapper(socket)
        pools = None
        with suppress(DeviceMapperError), trio.move_on_after(_PATIENCE) as waiting:
            pools = await _pools(dm)
        if waiting.cancelled_caught:
            silent += f"; the device-mapper on {socket} did not answer in {_PATIENCE:.0f} s"
        if pools is None:
            continue  # perhaps the run was killed or is ending
        if name in pools:
            return await _on_store(name, dm, pools[name])
        seen += pools
    running = did_you_mean(name, seen) or f"; running pools: {', '.join(sorted(seen)) or 'none'}"
    raise ConflictError(f"pool {name!r} is not running{running}{silent}{if_not_root('Pools')}")


async def _pools(dm: EmulatedDeviceMapper) -> dict[str, PoolTable]:
    found = {}
    for name in await dm.list():
        with suppress(DeviceMapperError):  # it has another target, or is gone meanwhile
            found[name] = parse_pool_table(await dm.table(name))
    return found


async def _on_store(name: str, dm: EmulatedDeviceMapper, table: PoolTable) -> FoundPool:
    file = _backing_file(name, table.data_dev)
    for mount in mounts():
        if mount.fstype == FSTYPE and mount.mountpoint == file.parent:
            store = await _store_on(mount.mountpoint)
            directory = Path((await store.ping()).directory)
            return FoundPool(name, dm, bytes_of(table.block_size), store, file.name, directory / file.name)
    raise ConflictError(
        f"pool {name}: its data file {file} is not on a backing store, so its discards cannot be watched"
    )


def _backing_file(name: str, device: str) -> Path:
    number = _LOOP_MAJOR.fullmatch(device)
    if number is None:
        raise ConflictError(f"pool {name}: its data device {device} is not a loop device")
    try:
        return Path(loop.attached_devices()[Path(f"/dev/loop{number[1]}")])
    except KeyError:
        raise ConflictError(
            f"pool {name}: its data device /dev/loop{number[1]} has no backing file"
        ) from None


async def _store_on(mountpoint: Path) -> StoreClient:
    """Return a client of the store that serves *mountpoint*; its socket may be in a run's directory."""
    for socket in (control_socket(mountpoint), *sorted(runtime_directory().glob("*/store.sock"))):
        store = StoreClient(socket)
        try:
            if Path((await store.ping()).mountpoint) == mountpoint:
                return store
        except ControlError:
            continue
    raise ProgramFailedError(f"the backing store on {mountpoint} does not answer")
