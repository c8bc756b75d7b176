"""`device_step` describes a block device as a height, and names the devices or the file below it."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from thinsim.block.loop import file_of
from thinsim.dm.names import MAPPER
from thinsim.errors import EnvironmentLacksError, InvalidValueError
from thinsim.node.stack.block_view import BlockView, view_of
from thinsim.node.stack.height import DeviceLimits, HeightKind, StackHeight
from thinsim.node.stack.mapped_tables import LiveTable
from thinsim.node.stack.places import DevicePlace, FilePlace, Machine, Part, WalkStep
from thinsim.node.stack.targets import read_targets, volume_name
from thinsim.thin.status import parse_pool_status

_DELETED = " (deleted)"


async def device_step(place: DevicePlace, machine: Machine) -> WalkStep:
    """Describe the device. Raises EnvironmentLacksError if the kernel has no such device."""
    view = view_of(place.number, machine.sys)
    if view is None:
        raise EnvironmentLacksError(
            f"this kernel has no block device {place.number}: the node is left over, or the device has just "
            "been removed"
        )
    table = await machine.tables.table_of(view)
    if table is not None:
        return await _mapped(view, table)
    if view.loop is not None:
        return _loop(view, view.loop.file, view.loop.offset)
    if view.parent is not None:
        below = Part(DevicePlace(view.parent), length=view.size, start=view.partition_start)
        return WalkStep(_height(view, HeightKind.PARTITION), (below,))
    if view.slaves:
        kind = HeightKind.MAPPED if view.mapper_name else HeightKind.ARRAY
        note = "its table cannot be read: install dmsetup, and run as root" if view.mapper_name else ""
        parts = tuple(Part(DevicePlace(number)) for number in view.slaves)
        return WalkStep(_height(view, kind, note=note), parts)
    return WalkStep(_height(view, HeightKind.DISK))


async def _mapped(view: BlockView, table: LiveTable) -> WalkStep:
    targets = read_targets(table.lines)
    reason = targets.reason
    if targets.kind is HeightKind.THIN_POOL and not reason:
        with suppress(InvalidValueError):
            if parse_pool_status(await table.status()).discard == "no_discard_passdown":
                reason = "the pool has switched off passdown: its data device cannot discard a whole block"
    height = _height(
        view,
        targets.kind,
        name=str(MAPPER / table.name),
        type=targets.types,
        volume=volume_name(table.name, table.uuid),
        options=targets.options,
        pool_block=targets.block,
        reason=reason,
    )
    parts = (
        Part(DevicePlace(lower.device), lower.begin, lower.length, lower.start) for lower in targets.lower
    )
    return WalkStep(height, tuple(parts), table)


def _loop(view: BlockView, file: str, offset: int) -> WalkStep:
    node = Path("/dev") / view.name
    deleted = file.endswith(_DELETED)
    identity = None
    # Without permission for the node, or with a dead file system, the path alone has to do.
    with suppress(OSError):
        fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = file_of(fd)
            identity = (found.device, found.inode)
        finally:
            os.close(fd)
    path = Path(file.removesuffix(_DELETED) if deleted else file)
    place = _device_at(path) or FilePlace(path, HeightKind.IMAGE, identity)
    return WalkStep(_height(view, HeightKind.LOOP), (Part(place, length=view.size, start=offset),))


def _device_at(path: Path) -> DevicePlace | None:
    """Return the block device at *path*: a loop device may have one instead of a file."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISBLK(status.st_mode):
        return None
    return DevicePlace(f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")


def _height(
    view: BlockView,
    kind: HeightKind,
    *,
    name: str = "",
    type: str = "",
    volume: str = "",
    options: tuple[str, ...] = (),
    pool_block: int | None = None,
    reason: str = "",
    note: str = "",
) -> StackHeight:
    why = reason or _obstacle(view.limits, read_only=view.read_only)
    usual = MAPPER / view.mapper_name if view.mapper_name else Path("/dev") / view.name.replace("!", "/")
    return StackHeight(
        kind=kind,
        name=name or str(usual),
        device=view.number,
        type=type,
        volume=volume,
        size=view.size,
        limits=view.limits,
        options=options,
        pool_block=pool_block,
        passes=not why,
        reason=why,
        note=note,
    )


def _obstacle(limits: DeviceLimits, *, read_only: bool) -> str:
    if read_only:
        return "it is read-only"
    if limits.max_bytes:
        return ""
    if limits.max_hw_bytes:
        return "discards are switched off in its queue (discard_max_bytes is 0)"
    return "its queue takes no discards (discard_max_bytes is 0)"
