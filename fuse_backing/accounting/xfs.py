"""XFS frees the bytes that a file maps, and a shared extent when its last place is punched.

FIEMAP shows that an extent is shared, but not who shares it: two places of one file can. So after the punch
ioctl_getfsmap(2) returns the shared bytes that are free now.
"""

import errno
import fcntl
import os
import struct
from dataclasses import dataclass

from fuse_backing.accounting.interface import Measurement
from fuse_backing.accounting.mapped import MappedAccounting, MappedMeasurement
from fuse_backing.allocation import Range, merged

_FS_IOC_GETFSMAP = 0xC0C0583B
_HEAD = struct.Struct(
    "=IIII6Q"
)  # struct fsmap_head: iflags, oflags, count, entries, reserved; two keys follow
_RECORD = struct.Struct("=IIQQQQ3Q")  # struct fsmap: device, flags, physical, owner, offset, length, reserved
_COUNT = 64
_SPECIAL_OWNER = 0x10  # FMR_OF_SPECIAL_OWNER
_FREE = 1  # FMR_OWN_FREE
_MOST_FLAGS, _MOST = (1 << 32) - 1, (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class XfsAccounting(MappedAccounting):
    """An `XfsAccounting` counts by the file's map, and for shared extents by XFS's record of free space."""

    def measure(self, fd: int, offset: int, length: int) -> Measurement:
        """Read the map of the blocks around the range."""
        mapped = MappedAccounting.measure(self, fd, offset, length)
        assert isinstance(mapped, MappedMeasurement)
        shared = [extent for extent in mapped.before if extent.shared]
        if not shared:
            return mapped
        places = sorted((extent.physical, extent.physical + extent.end - extent.start) for extent in shared)
        return _SharedMeasurement(mapped, merged(places))


@dataclass(frozen=True, slots=True)
class _SharedMeasurement:
    mapped: MappedMeasurement
    shared: list[Range]
    """The shared extents, by their place on the device."""

    @property
    def allocated(self) -> int:
        return self.mapped.allocated

    def freed(self) -> int:
        free = sum(free_bytes(self.mapped.fd, start, end) for start, end in self.shared)
        return self.mapped.freed() + free


def free_bytes(fd: int, start: int, end: int) -> int:
    """Return how many bytes of the range of the file's device are free; 0 if the kernel can't report it."""
    free, position, device = 0, start, _encoded(os.fstat(fd).st_dev)
    while position < end:
        buffer = bytearray(_HEAD.size + (2 + _COUNT) * _RECORD.size)
        _HEAD.pack_into(buffer, 0, 0, 0, _COUNT, 0, *[0] * 6)
        _RECORD.pack_into(buffer, _HEAD.size, device, 0, position, *[0] * 6)
        _RECORD.pack_into(
            buffer, _HEAD.size + _RECORD.size, device, _MOST_FLAGS, end - 1, _MOST, _MOST, *[0] * 4
        )
        try:
            fcntl.ioctl(fd, _FS_IOC_GETFSMAP, buffer, True)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP):
                return 0
            raise
        count, reached = _HEAD.unpack_from(buffer)[3], position
        found = memoryview(buffer)[_HEAD.size + 2 * _RECORD.size :][: count * _RECORD.size]
        for _, flags, physical, owner, _, length, *_ in _RECORD.iter_unpack(found):
            low, high = max(physical, reached), min(physical + length, end)
            if low >= high:
                continue
            if flags & _SPECIAL_OWNER and owner == _FREE:
                free += high - low
            reached = high
        if count < _COUNT or reached == position:
            return free
        position = reached
    return free


def _encoded(device: int) -> int:
    """Return a device number in the format of struct fsmap (include/linux/kdev_t.h, new_encode_dev)."""
    minor = os.minor(device)
    return minor & 0xFF | os.major(device) << 8 | (minor & ~0xFF) << 12
