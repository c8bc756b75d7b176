"""`heights_of` walks from a path down to the disk and returns each height on the way.

A height is before all the heights below it, even where the way branches and joins again.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from fuse_backing.mounts import FSTYPE, mount_of
from thinsim.errors import ConflictError, EnvironmentLacksError, InvalidValueError, UnknownNameError
from thinsim.machine.root import if_not_root
from thinsim.node.stack.device_step import device_step
from thinsim.node.stack.file_step import file_step, mount_step
from thinsim.node.stack.file_systems import OVERLAY, REMOTE
from thinsim.node.stack.height import Lower, StackHeight
from thinsim.node.stack.mapped_tables import LiveTable
from thinsim.node.stack.places import DevicePlace, FilePlace, Machine, MountPlace, Place, WalkStep
from thinsim.node.stack.settling import settled

_FILE_SYSTEMS = Path("/proc/filesystems")


@dataclass(frozen=True, slots=True)
class Stack:
    """A `Stack` has the heights from the top to the lowest, and the tables of the mapped devices by index."""

    heights: tuple[StackHeight, ...]
    tables: dict[int, LiveTable]


async def heights_of(path: Path) -> Sequence[StackHeight]:
    """Return the heights from *path* down to the lowest that can be seen, as :func:`stack_of` finds them."""
    return (await stack_of(path)).heights


async def stack_of(path: Path, machine: Machine | None = None) -> Stack:
    """Return the heights below a block device, a regular file, or the file system of a directory.

    Raises UnknownNameError if *path* does not exist, InvalidValueError if it has nothing to do with a device,
    EnvironmentLacksError without permission, ConflictError if a device is below itself.
    """
    machine = machine or Machine()
    return await stack_below(await trio.to_thread.run_sync(starting_place, path, machine), machine)


async def stack_below(place: Place, machine: Machine) -> Stack:
    """Return the heights from *place* on."""
    walk = _Walk(machine)
    await walk.enter(place)
    return walk.stack()


def starting_place(path: Path, machine: Machine) -> Place:
    """Return the place of *path*. Blocking. Raises as `stack_of` does."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UnknownNameError(f"{path} does not exist; name a mount, a file or a block device") from None
    except PermissionError:
        raise EnvironmentLacksError(f"{path}: permission denied{if_not_root('Such paths')}") from None
    except OSError as error:
        raise EnvironmentLacksError(f"{path}: {error.strerror}") from error
    if stat.S_ISBLK(status.st_mode):
        return DevicePlace(f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")
    real = Path(os.path.realpath(path))
    mount = mount_of(real, machine.mounts())
    if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)) or mount is None:
        what = "a character device" if stat.S_ISCHR(status.st_mode) else "no file, directory or block device"
        raise InvalidValueError(f"{path} is {what}; name a mount, a file or a block device")
    if _is_without_device(mount.fstype):
        raise InvalidValueError(
            f"{path} is on {mount.fstype}, which has no device, so nothing can be discarded; name a path on "
            "a disk, or a block device"
        )
    if stat.S_ISREG(status.st_mode):
        return FilePlace(real, identity=(status.st_dev, status.st_ino))
    return MountPlace(mount)


def _is_without_device(fstype: str) -> bool:
    """Return whether a file system keeps its files in memory, or makes them up (proc_filesystems(5))."""
    if fstype in REMOTE | {OVERLAY, FSTYPE, "zfs"} or fstype.startswith("fuse"):
        return False
    lines = (line.split() for line in _FILE_SYSTEMS.read_text().splitlines())
    return ["nodev", fstype] in lines


class _Walk:
    """A `_Walk` visits each place once, and remembers the steps in the order of their ends."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._steps: dict[str, WalkStep] = {}
        self._open: list[str] = []

    async def enter(self, place: Place) -> None:
        """Visit *place* and everything below it."""
        if place.key in self._steps:
            return
        if place.key in self._open:
            names = " on ".join(self._open[self._open.index(place.key) :])
            raise ConflictError(f"the stack has no end: {place.key} is below itself ({names})")
        self._open.append(place.key)
        step = await self._step(place)
        for part in step.below:
            await self.enter(part.place)
        self._open.pop()
        self._steps[place.key] = step

    async def _step(self, place: Place) -> WalkStep:
        match place:
            case DevicePlace():
                return await device_step(place, self._machine)
            case FilePlace():
                return await trio.to_thread.run_sync(file_step, place, self._machine)
            case MountPlace():
                return await trio.to_thread.run_sync(mount_step, place, self._machine)

    def stack(self) -> Stack:
        """Return the visited heights, settled, from the top to the lowest."""
        keys = list(self._steps)
        index = {key: len(keys) - 1 - place for place, key in enumerate(keys)}
        done: dict[str, StackHeight] = {}
        for key in keys:  # the lowest first
            step = self._steps[key]
            parts = (Lower(index[part.place.key], part.begin, part.length, part.start) for part in step.below)
            height = replace(step.height, below=tuple(parts))
            done[key] = settled(height, [done[part.place.key] for part in step.below])
        tables = {index[key]: step.table for key, step in self._steps.items() if step.table is not None}
        return Stack(tuple(done[key] for key in reversed(keys)), tables)
