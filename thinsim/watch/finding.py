"""`find_pool` finds an active pool by its name, the file of its data, and the store that serves the file."""

from dataclasses import dataclass
from pathlib import Path

from fuse_backing.errors import ControlError
from fuse_backing.mounts import FSTYPE, mount_of
from fuse_backing.runtime import control_socket
from fuse_backing.store_client import StoreClient
from thinsim.errors import ProgramFailedError
from thinsim.machine.sockets import runtime_directory
from thinsim.node.active_pools import NodePool, find_active_pool
from thinsim.node.reclaim.data_file import DataFile, attached_file, find_data_file


@dataclass(frozen=True, slots=True)
class FoundPool:
    """A `FoundPool` is an active pool; *data* is the host's file below it, None if there is none."""

    pool: NodePool
    data: DataFile | None
    store: StoreClient | None
    """The client of the backing store that serves the file; None without one."""
    file: str = ""
    """The path of the data file on the store; empty without one."""


async def find_pool(name: str) -> FoundPool:
    """Return the active pool *name*, of the kernel or emulated. ConflictError if it is not running."""
    pool = await find_active_pool(name)
    data, _ = await find_data_file(pool.data_device)
    if data is None or data.parts:
        return FoundPool(pool, data, None)
    attached = attached_file(pool.data_device)
    mount = mount_of(attached)
    if mount is not None and mount.fstype == FSTYPE:
        path = str(attached.relative_to(mount.mountpoint))
        return FoundPool(pool, data, await _store_on(mount.mountpoint), path)
    return FoundPool(pool, data, None)


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
