"""btrfs frees a data extent on disk as a whole, once no part of it is in use.

A file's items name extents of up to 128 MiB, each by its place and size on disk, compressed or not, and the
part of it that they use (struct btrfs_file_extent_item in include/uapi/linux/btrfs_tree.h). A punch drops or
cuts items. It frees the extents that the file used before and that no item of it names afterwards, unless
another file or a snapshot uses them: FIEMAP marks an extent as shared, and BTRFS_IOC_LOGICAL_INO_V2 names the
files. Data that is written back later gets its extent only then, so the file is written back first. Data that
is inline in the metadata has no extent and counts as 0 bytes.
"""

import ctypes
import fcntl
import os
import struct
import sys
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fuse_backing.accounting.interface import EVERYTHING, Measurement
from fuse_backing.accounting.mapped import allocated_in, around, in_blocks
from fuse_backing.allocation import MappedExtent, Range, mapped_extents, merged

_TREE_SEARCH_V2 = 0xC0709411
_KEY = struct.Struct("=7Q4L4QQ")  # struct btrfs_ioctl_search_args_v2 up to its buffer
_HEADER = struct.Struct("=QQQLL")  # struct btrfs_ioctl_search_header: transid, objectid, offset, type, len
_ITEM = struct.Struct("<QQBBHBQQQQ")  # struct btrfs_file_extent_item
_LOGICAL_INO_V2 = 0xC038943B
_LOGICAL_INO = struct.Struct(
    "=QQ3QQQ"
)  # struct btrfs_ioctl_logical_ino_args: logical, size, flags, a pointer
_IGNORE_OFFSET = 1  # also return places that use only a part of the extent
_PLACES = struct.Struct("=LLLL")  # struct btrfs_data_container: left, missing, count and missed of its u64s
_PLACE = struct.Struct("=QQQ")  # inode, offset, root
_INO_LOOKUP = 0xD0009412
_START_SYNC = 0x80089418
_WAIT_SYNC = 0x40089416
_FIRST_FREE_OBJECTID = 256
_EXTENT_DATA = 108
_INLINE = 0
_ROOM = 1 << 18
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_COMPRESSION = 0x00000004 | 0x00000400  # FS_COMPR_FL, FS_NOCOMP_FL
_FS_NOCOW_FL = 0x00800000


class Item(NamedTuple):
    """An `Item` maps the bytes of a file from *start* to *end* to a part of an extent on disk."""

    start: int
    end: int
    extent: int
    """The extent's place in the file system's address space."""
    size: int
    """The bytes of the whole extent on disk."""
    first: int
    """The offset in the file at which the extent would begin, if the file used all of it."""
    last: int
    """The offset in the file at which the extent would end, if the file used all of it."""


@dataclass(frozen=True, slots=True)
class BtrfsAccounting:
    """A `BtrfsAccounting` counts extents on disk; BTRFS_IOC_TREE_SEARCH_V2 needs CAP_SYS_ADMIN."""

    kind: str
    unit: int
    remark: str = (
        "btrfs frees a data extent (up to 128 MiB) as a whole, once no part of it is in use: freed bytes are "
        "the bytes of whole extents on disk"
    )
    exact: bool = True
    native: bool = False
    sees_preallocation: bool = True
    overwrites_free: bool = True
    maps_what_it_holds: bool = False
    writes_back: bool = True

    @property
    def freed_unit(self) -> int:
        """Return the size of a block, in bytes: the smallest extent."""
        return self.unit

    def measure(self, fd: int, offset: int, length: int) -> Measurement:
        """Write the file back, and read the items of the range."""
        start, end = around(self.unit, offset, length)
        before = in_blocks(mapped_extents(fd, start, end - start, sync=True))
        own, cloned = _own_items(fd, before, start, end)
        return _BtrfsMeasurement(fd, allocated_in(before, offset, length), own, cloned)

    def held(self, fd: int) -> list[Range]:
        """Return the extents of which the file uses any part, by their place in the file system."""
        _write_back(fd)
        places = {(item.extent, item.extent + item.size) for item in items(fd, 0, EVERYTHING)}
        return merged(sorted(places))

    def keep_in_place(self, directory_fd: int) -> None:
        """Set the attribute C (chattr(1)): no copy on write, and therefore no compression and no checksums.

        The attributes c and m, and the property compression, are removed first: btrfs refuses C with them
        (fs/btrfs/ioctl.c, btrfs_fileattr_set).
        """
        buffer = bytearray(struct.calcsize("l"))
        fcntl.ioctl(directory_fd, _FS_IOC_GETFLAGS, buffer, True)
        flags = int.from_bytes(buffer[:4], sys.byteorder)
        if flags & _COMPRESSION:
            flags &= ~_COMPRESSION
            fcntl.ioctl(directory_fd, _FS_IOC_SETFLAGS, flags.to_bytes(len(buffer), sys.byteorder))
        flags |= _FS_NOCOW_FL
        fcntl.ioctl(directory_fd, _FS_IOC_SETFLAGS, flags.to_bytes(len(buffer), sys.byteorder))


@dataclass(frozen=True, slots=True)
class _BtrfsMeasurement:
    fd: int
    allocated: int
    own: list[Item]
    cloned: set[int]
    """Extents of *own* that several places of the file share, by a clone."""

    def freed(self) -> int:
        if not self.own:
            return 0
        # Zeroing a part of a block writes that block again; the write-back frees the old extent.
        _write_back(self.fd)
        sizes = {item.extent: item.size for item in self.own}
        # The rest of an extent is near the place where it was written; only a clone can be anywhere.
        near = max(0, min(item.first for item in self.own)), max(item.last for item in self.own)
        for item in items(self.fd, *near):
            sizes.pop(item.extent, None)
        if not sizes.keys().isdisjoint(self.cloned):
            for item in items(self.fd, 0, EVERYTHING):
                sizes.pop(item.extent, None)
        return sum(sizes.values())


def items(fd: int, start: int, end: int) -> Iterator[Item]:
    """Yield the items of a file that begin in [start, end) and name an extent.

    Raises OSError, EPERM without CAP_SYS_ADMIN.
    """
    inode, position = os.fstat(fd).st_ino, start
    while position < end:
        buffer = bytearray(_KEY.size + _ROOM)
        key = (0, inode, inode, position, end - 1, 0, (1 << 64) - 1, _EXTENT_DATA, _EXTENT_DATA)
        _KEY.pack_into(buffer, 0, *key, (1 << 32) - 1, 0, 0, 0, 0, 0, _ROOM)
        fcntl.ioctl(fd, _TREE_SEARCH_V2, buffer, True)
        count = _KEY.unpack_from(buffer)[9]
        if count == 0:
            return
        at, offset = _KEY.size, position
        for _ in range(count):
            _, _, offset, _, size = _HEADER.unpack_from(buffer, at)
            at += _HEADER.size
            if size >= _ITEM.size:
                _, ram, _, _, _, kind, extent, on_disk, skipped, used = _ITEM.unpack_from(buffer, at)
                if kind != _INLINE and extent != 0:  # 0: a hole
                    first = offset - skipped
                    yield Item(offset, offset + used, extent, on_disk, first, first + ram)
            at += size
        position = offset + 1


def _own_items(fd: int, before: list[MappedExtent], start: int, end: int) -> tuple[list[Item], set[int]]:
    """Return the items that touch the range and whose extents only this file uses, and the cloned extents.

    FIEMAP marks an extent as shared if more than one write or clone uses it (fs/btrfs/backref.c,
    share_check).
    """
    if not before:
        return [], set()
    # An extent of FIEMAP begins where an item begins, perhaps before the range, and covers whole items.
    found = items(fd, min(extent.whole_start for extent in before), end)
    touching = [item for item in found if item.end > start]
    shared = merged((extent.start, extent.end) for extent in before if extent.shared)
    ours: dict[int, bool] = {}
    own = []
    for item in touching:
        nearest = bisect_left(shared, (item.end, 0)) - 1  # the last that begins before the item's end
        if nearest >= 0 and shared[nearest][1] > item.start:
            if item.extent not in ours:
                if not ours:
                    _commit(fd)
                ours[item.extent] = _only_ours(fd, item.extent)
            if not ours[item.extent]:
                continue
        own.append(item)
    return own, {extent for extent, only in ours.items() if only}


def _only_ours(fd: int, extent: int) -> bool:
    """Return whether only places of this file use the extent."""
    buffer = ctypes.create_string_buffer(_ROOM)
    request = bytearray(_LOGICAL_INO.pack(extent, _ROOM, 0, 0, 0, _IGNORE_OFFSET, ctypes.addressof(buffer)))
    fcntl.ioctl(fd, _LOGICAL_INO_V2, request, True)
    _, _, count, missed = _PLACES.unpack_from(buffer)
    us = os.fstat(fd).st_ino, _subvolume(fd)
    places = _PLACE.iter_unpack(memoryview(buffer)[_PLACES.size : _PLACES.size + count * 8])
    return missed == 0 and all((inode, root) == us for inode, _, root in places)


def _commit(fd: int) -> None:
    """Commit the file system's transaction.

    BTRFS_IOC_LOGICAL_INO_V2 sees only the last commit (fs/btrfs/backref.c, extent_from_logical): it does not
    find an extent that was written since, nor a clone that was made or removed since.
    """
    transaction = bytearray(8)
    fcntl.ioctl(fd, _START_SYNC, transaction, True)
    fcntl.ioctl(fd, _WAIT_SYNC, bytes(transaction))


def _subvolume(fd: int) -> int:
    """Return the number of the subvolume that the file is in."""
    request = bytearray(4096)  # struct btrfs_ioctl_ino_lookup_args: treeid, objectid, name
    struct.pack_into("=QQ", request, 0, 0, _FIRST_FREE_OBJECTID)
    fcntl.ioctl(fd, _INO_LOOKUP, request, True)
    return int(struct.unpack_from("=Q", request)[0])


def _write_back(fd: int) -> None:
    mapped_extents(fd, 0, 1, sync=True)
