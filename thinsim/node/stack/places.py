"""A `Place` is where a walk goes next: a device, a file, or a mounted file system."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuse_backing.mounts import FSTYPE, MountEntry, mounts
from thinsim.node.stack.block_view import SYS
from thinsim.node.stack.height import HeightKind, StackHeight
from thinsim.node.stack.mapped_tables import LiveTable, MappedTables, TableSource


@dataclass(frozen=True, slots=True)
class Machine:
    """A `Machine` has the sources of a walk; a test replaces them."""

    sys: Path = SYS
    tables: TableSource = field(default_factory=MappedTables)
    mounts: Callable[[], Sequence[MountEntry]] = mounts


@dataclass(frozen=True, slots=True)
class DevicePlace:
    """A `DevicePlace` is a block device, by its number."""

    number: str

    @property
    def key(self) -> str:
        """Return a text that no other place has."""
        return f"device {self.number}"


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A `FilePlace` is a regular file, by its path and, if known, by the number of its device and inode."""

    path: Path
    kind: HeightKind = HeightKind.FILE
    identity: tuple[int, int] | None = None

    @property
    def key(self) -> str:
        """Return a text that no other place has."""
        return f"file {self.identity or self.path}"


@dataclass(frozen=True, slots=True)
class MountPlace:
    """A `MountPlace` is a mounted file system; *file* is the file in it through which the walk came."""

    mount: MountEntry
    file: Path | None = None

    @property
    def key(self) -> str:
        """Return a text that no other place has."""
        # A store goes on with the file of its directory, any other file system with its device.
        file = f" {self.file}" if self.mount.fstype == FSTYPE else ""
        return f"mount {self.mount.device} {self.mount.fstype}{file}"


Place = DevicePlace | FilePlace | MountPlace


@dataclass(frozen=True, slots=True)
class Part:
    """A `Part` of a height is at *place*, as a `Lower` describes it."""

    place: Place
    begin: int = 0
    length: int | None = None
    start: int | None = None


@dataclass(frozen=True, slots=True)
class WalkStep:
    """A `WalkStep` is a height without its heights below, and the places to go on to."""

    height: StackHeight
    below: tuple[Part, ...] = ()
    table: LiveTable | None = None
    """The table of a mapped device."""
