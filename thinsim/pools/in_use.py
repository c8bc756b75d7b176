"""`require_unused` refuses to remove a pool that is in use, and names each user with the fix."""

import shlex
from collections.abc import Iterator

import trio

from fuse_backing.control import ControlClient
from fuse_backing.errors import ControlError
from fuse_backing.mounts import mount_on
from thinsim.block import loop
from thinsim.dm.interface import DeviceMapper
from thinsim.dm.standing.places import Places
from thinsim.errors import ConflictError, DeviceMapperError
from thinsim.machine.device_users import DeviceUser, users_of_device, users_of_mount
from thinsim.pools.records import PoolRecord
from thinsim.rig.registry import find_rig

_PATIENCE = 2.0
"""Seconds for the programs that udev starts, which hold a new device open for a moment."""


async def require_unused(record: PoolRecord, dm: DeviceMapper | None) -> None:
    """Return if nothing uses the pool, its loop devices or its store; raise ConflictError otherwise.

    *dm* is None if this kernel has no device-mapper any more, so that the pool has no device.
    """
    lines = [] if dm is None else await _devices_on_pool(record, dm)
    if not lines:
        own = await _own_server(record)
        with trio.move_on_after(_PATIENCE):
            while lines := list(_other_users(record, dm, own)):
                await trio.sleep(0.1)
    if lines:
        listed = "".join(f"\n  {line}" for line in lines)
        raise ConflictError(f"pool {record.shape.name} is in use, so nothing was removed:{listed}")


async def _devices_on_pool(record: PoolRecord, dm: DeviceMapper) -> list[str]:
    """Return a line for each device whose table names the pool, whatever the name of the device."""
    pool, names = record.shape.name, await dm.list()
    if pool not in names:
        return []
    info = await dm.info(pool)
    dmsetup = "dmsetup" if find_rig(record.rig).in_kernel else "thinsim env dmsetup"
    lines = []
    for name in names:
        try:
            words = (await dm.table(name)).split()
        except DeviceMapperError:
            continue  # it is gone meanwhile
        if f"{info.major}:{info.minor}" in words[3:]:
            kind = "active thin device" if words[2] == "thin" else f"device with target {words[2]}"
            remove = f"{dmsetup} remove {shlex.quote(name)}"
            lines.append(_line(f"{name}: {kind}", users_of_device(dm.path(name)), remove))
    return lines


def _other_users(record: PoolRecord, dm: DeviceMapper | None, own: tuple[int, ...]) -> Iterator[str]:
    """Yield a line for each used part of a pool without active devices; *own* processes do not count."""
    nodes = [] if dm is None else [(f"/dev/mapper/{record.shape.name}", dm.path(record.shape.name))]
    for role, device in (("data", record.data), ("metadata", record.metadata)):
        if device is not None and loop.is_attached(device):
            nodes.append((f"{device.path} ({role} device)", device.path))
    for title, node in nodes:
        users = users_of_device(node, besides=own)
        if users:
            yield _line(title, users)
    if mount_on(record.store) is not None:
        users = users_of_mount(record.store, besides=own)
        if users:
            yield _line(f"{record.store} (backing store)", users)


def _line(title: str, users: list[DeviceUser], last: str = "") -> str:
    uses = ", ".join(user.what for user in users) or "not open"
    fixes = "; ".join([*dict.fromkeys(user.fix for user in users), *([last] if last else [])])
    return f"{title}, {uses} (fix: {fixes})"


async def _own_server(record: PoolRecord) -> tuple[int, ...]:
    """Return the process id of the emulated device-mapper. It has the loop devices and their files open."""
    if find_rig(record.rig).in_kernel:
        return ()
    try:
        return (await ControlClient(Places.of_this_user().verbs).server_pid(),)
    except ControlError:
        return ()
