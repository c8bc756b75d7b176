"""A `StackHeight` is one layer of a storage stack: a file system, a device, a file or a server."""

from dataclasses import dataclass
from enum import Enum


class HeightKind(Enum):
    """A `HeightKind` is the kind of a height."""

    FILE_SYSTEM = "file system"
    FILE = "file"
    IMAGE = "image"
    """A file whose bytes are those of a loop device."""
    STORE = "store"
    """A fuse-backing store, which serves the files of a directory."""
    FUSE = "FUSE"
    """Another FUSE file system. Its server decides about discards."""
    LOOP = "loop"
    THIN = "thin"
    THIN_POOL = "thin-pool"
    LINEAR = "linear"
    STRIPED = "striped"
    CRYPT = "crypt"
    CACHE = "cache"
    MAPPED = "mapped"
    """A device-mapper device with another target, or with several kinds of targets."""
    PARTITION = "partition"
    ARRAY = "array"
    """A device that the kernel makes of others without device-mapper, such as md or bcache."""
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    """A `DeviceLimits` has the limits of a device's queue in bytes (Documentation/ABI/stable/sysfs-block)."""

    logical_block: int
    """The smallest unit that the device can address."""
    granularity: int
    """The discard granularity; 0 if the device takes no discards."""
    alignment: int
    """Bytes from the beginning of the device to the first aligned granule."""
    max_bytes: int
    """The largest discard; 0 if the device takes none."""
    max_hw_bytes: int
    """The largest discard that the driver allows; an administrator can lower `max_bytes`, but not this."""


@dataclass(frozen=True, slots=True)
class Lower:
    """A `Lower` places a part of a height in the height below."""

    height: int
    """The index of the height below in the list of heights."""
    begin: int
    """The first byte of the part."""
    length: int | None
    """The bytes of the part; null if it goes on to the end."""
    start: int | None
    """The byte of the height below at which the part begins; null if the height maps blocks to any place."""


@dataclass(frozen=True, slots=True)
class StackHeight:
    """A `StackHeight` is one layer of the stack. Sizes are bytes; a value that does not apply is null."""

    kind: HeightKind
    """The kind of the height."""
    name: str
    """The mountpoint, the node of the device, or the path of the file."""
    device: str | None = None
    """The number of the device, `major:minor`. A file system without a device has its own number."""
    type: str = ""
    """The type of the file system, or the device-mapper targets; otherwise empty."""
    volume: str = ""
    """The name of an LVM volume, `group/volume`; otherwise empty."""
    size: int | None = None
    """The size of the device, of the file or of the file system."""
    limits: DeviceLimits | None = None
    """The limits of the device's queue."""
    unit: int = 1
    """Discards free or pass on whole units of this size only."""
    shortest: int = 0
    """The shortest range that the file system discards at all; 0 without such a limit."""
    pool_block: int | None = None
    """The size of a pool's data block."""
    held: int | None = None
    """Bytes that the file system has allocated for the file (`st_blocks`)."""
    options: tuple[str, ...] = ()
    """The mount options, or the optional words of the device-mapper table."""
    passes: bool = True
    """True if discards pass this height; at the lowest height, if it takes discards."""
    reason: str = ""
    """The reason if discards do not pass; otherwise empty."""
    note: str = ""
    """A remark on how discards pass, or why the walk ends here; often empty."""
    below: tuple[Lower, ...] = ()
    """The heights below, each with the part of this height that is there."""
