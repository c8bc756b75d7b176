"""`file_step` describes a file as a height, and `mount_step` the file system that has it."""

import os
from pathlib import Path

from fuse_backing.mounts import FSTYPE, MountEntry, mount_of
from thinsim.node.stack.block_view import members_of_btrfs
from thinsim.node.stack.file_systems import (
    IN_MEMORY,
    OVERLAY,
    REMOTE,
    discards_at_once,
    obstacle,
    options_of,
    upper_directory,
)
from thinsim.node.stack.height import HeightKind, StackHeight
from thinsim.node.stack.places import DevicePlace, FilePlace, Machine, MountPlace, Part, WalkStep

_NOT_A_DEVICE = "0:"
"""The beginning of the number of a file system that the kernel keeps without a device."""


def file_step(place: FilePlace, machine: Machine) -> WalkStep:
    """Describe a file. One that cannot be reached by its path is on the file system with its number."""
    size = held = None
    note = ""
    mount = None
    status = _status(place.path)
    if status is not None and place.identity in (None, (status.st_dev, status.st_ino)):
        size, held = status.st_size, status.st_blocks * 512
        mount = mount_of(Path(os.path.realpath(place.path)), machine.mounts())
    else:
        note = "the file has no name here: it is deleted, replaced, or in another mount namespace"
        if place.identity is not None:
            mount = _mount_of_device(place.identity[0], machine)
    height = StackHeight(place.kind, str(place.path), size=size, held=held, note=note)
    if mount is None:
        return WalkStep(height)
    # The places of the file's blocks on the file system are anywhere.
    return WalkStep(height, (Part(MountPlace(mount, place.path)),))


def mount_step(place: MountPlace, machine: Machine) -> WalkStep:
    """Describe a file system, and name the device, the directory or the file system below it."""
    mount = place.mount
    if mount.fstype == FSTYPE:
        return _store(place)
    if mount.fstype == OVERLAY:
        return _overlay(mount, machine)
    options = options_of(mount)
    if mount.fstype.startswith("fuse.") or mount.fstype == "fuse":
        return WalkStep(_fuse(place, options))
    devices = _devices(mount, machine)
    why = note = ""
    if devices:
        why = obstacle(mount.fstype, options)
        note = "" if why else ("at once and by fstrim" if discards_at_once(options) else "by fstrim only")
    elif mount.fstype in IN_MEMORY:
        note = "it keeps files in memory: a hole in a file frees memory"
    elif mount.fstype in REMOTE:
        note = "another machine keeps the files"
        why = "" if place.file else f"the driver of {mount.fstype} sends no discards"
    else:
        note = f"the walk ends here: the devices of {mount.fstype} are not known"
    unit, size = _measures(mount)
    height = StackHeight(
        HeightKind.FILE_SYSTEM,
        str(mount.mountpoint),
        mount.device,
        mount.fstype,
        size=size,
        unit=unit,
        options=options,
        passes=not why,
        reason=why,
        note=note,
    )
    start = 0 if len(devices) == 1 and mount.fstype != "btrfs" else None
    return WalkStep(height, tuple(Part(DevicePlace(number), start=start) for number in devices))


def _store(place: MountPlace) -> WalkStep:
    mount, directory = place.mount, Path(place.mount.source)
    height = StackHeight(
        HeightKind.STORE, str(mount.mountpoint), mount.device, mount.fstype, options=options_of(mount)
    )
    name = place.file.relative_to(mount.mountpoint) if place.file else Path()
    return WalkStep(height, (Part(FilePlace(directory / name), start=0),))


def _overlay(mount: MountEntry, machine: Machine) -> WalkStep:
    upper = upper_directory(mount)
    why = "" if upper else "the overlay is read-only: it has no upperdir"
    height = StackHeight(
        HeightKind.FILE_SYSTEM,
        str(mount.mountpoint),
        mount.device,
        mount.fstype,
        options=options_of(mount),
        passes=not why,
        reason=why,
        note=f"new data is in {upper}" if upper else "",
    )
    below = mount_of(Path(os.path.realpath(upper)), machine.mounts()) if upper else None
    # An overlay whose upperdir is in another mount namespace must not be below itself.
    if below is None or below.device == mount.device:
        return WalkStep(height)
    return WalkStep(height, (Part(MountPlace(below)),))


def _fuse(place: MountPlace, options: tuple[str, ...]) -> StackHeight:
    mount = place.mount
    why = (
        ""
        if place.file
        else "a FUSE file system sends no discards: its server sees hole punches in files only"
    )
    return StackHeight(
        HeightKind.FUSE,
        str(mount.mountpoint),
        mount.device,
        mount.fstype,
        options=options,
        passes=not why,
        reason=why,
        note=f"the server of {mount.source} decides about hole punches",
    )


def _devices(mount: MountEntry, machine: Machine) -> list[str]:
    """Return the numbers of the devices of a file system; an empty list if it has none."""
    if not mount.device.startswith(_NOT_A_DEVICE):
        return [mount.device]
    status = _status(Path(mount.source)) if mount.source.startswith("/dev/") else None
    if status is None or not status.st_rdev:
        return []
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return members_of_btrfs(number, machine.sys) if mount.fstype == "btrfs" else [number]


def _measures(mount: MountEntry) -> tuple[int, int | None]:
    """Return the block size and the size of a mounted file system."""
    try:
        about = os.statvfs(mount.mountpoint)
    except OSError:
        return 1, None
    return about.f_bsize or 1, about.f_frsize * about.f_blocks


def _mount_of_device(device: int, machine: Machine) -> MountEntry | None:
    number = f"{os.major(device)}:{os.minor(device)}"
    return next((mount for mount in machine.mounts() if mount.device == number), None)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
