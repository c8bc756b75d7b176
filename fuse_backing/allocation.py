"""These functions find the bytes of a file that the host has allocated.

FIEMAP (Documentation/filesystems/fiemap.rst) also reports preallocated but unwritten extents, delayed
allocation, and extents beyond the end of the file. SEEK_DATA reports the first as holes, and does not find
the last. On a file system without FIEMAP, SEEK_DATA and SEEK_HOLE replace it: lseek(2). On tmpfs,
cachestat(2) also finds the pages that they miss.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from fuse_backing.shmem_pages import has_cachestat, held_pages, whole_pages
from fuse_backing.system_calls import TMPFS_MAGIC, file_system_magic

Range = tuple[int, int]

_FS_IOC_FIEMAP = 0xC020660B
_FIEMAP_EXTENT_LAST = 0x0001
_FIEMAP_EXTENT_DATA_INLINE = 0x0200
_FIEMAP_EXTENT_SHARED = 0x2000
_FIEMAP_FLAG_SYNC = 0x0001
_HEADER = struct.Struct("=QQLLLL")  # struct fiemap: start, length, flags, mapped, count, reserved
_EXTENT = struct.Struct("=QQQQQLLLL")  # struct fiemap_extent: logical, physical, length, 2 reserved, flags, 3
_FIRST_BATCH = 16  # usually enough for a discard's range; a small buffer keeps that cheap
_BATCH = 256
_LARGEST = 1 << 62
"""No file is larger, and multiples of a page below it fit into an offset."""
_NO_FIEMAP = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS})


class Extent(NamedTuple):
    """An `Extent` is a range of allocated bytes; a punch of one *shared* with another file frees nothing."""

    start: int
    """The first byte."""
    end: int
    """The byte after the last."""
    shared: bool = False
    """True if another file, or another range of this file, uses the same space."""


class MappedExtent(NamedTuple):
    """A `MappedExtent` is an extent with everything that FIEMAP reports; without FIEMAP, *physical* is 0."""

    start: int
    end: int
    shared: bool
    physical: int
    """The place of *start* on the device, or in the file system's address space, in bytes."""
    inline: bool
    """True if the data is in the inode or in the file system's metadata, and has no block of its own."""
    whole_start: int
    """The offset in the file at which the extent begins, perhaps before the requested range."""


def extents(fd: int, offset: int, length: int) -> list[Extent]:
    """Return the host's extents in the range, clipped to it, in order, not merged. Raises OSError."""
    return [Extent(*found[:3]) for found in mapped_extents(fd, offset, length)]


def mapped_extents(fd: int, offset: int, length: int, *, sync: bool = False) -> list[MappedExtent]:
    """Return the host's extents in the range, clipped to it, with everything that FIEMAP reports.

    With *sync* the whole file is written back first. Raises OSError.
    """
    end = offset + length
    if length <= 0:
        return []
    try:
        return list(fiemap(fd, offset, end, sync))
    except OSError as error:
        if error.errno not in _NO_FIEMAP:
            raise
    return list(_without_fiemap(fd, offset, end))


def has_fiemap(fd: int) -> bool:
    """Return whether the file system supports FIEMAP. Raises OSError for any other failure."""
    try:
        list(fiemap(fd, 0, 1))
    except OSError as error:
        if error.errno not in _NO_FIEMAP:
            raise
        return False
    return True


def first_extents(fd: int, offset: int, limit: int) -> list[Extent]:
    """Return the first *limit* extents at or after *offset*. Raises OSError."""
    end = (1 << 63) - 1
    try:
        return [Extent(*found[:3]) for found in islice(fiemap(fd, offset, end), limit)]
    except OSError as error:
        if error.errno not in _NO_FIEMAP:
            raise
    return [Extent(*found[:3]) for found in islice(_without_fiemap(fd, offset, end), limit)]


def allocated_ranges(fd: int, offset: int, length: int) -> list[Range]:
    """Return the allocated ranges, as (start, end) in bytes, clipped to the given range and merged.

    Delayed allocation and unwritten preallocation count, even beyond the end of the file. Raises OSError.
    """
    return merged((extent.start, extent.end) for extent in extents(fd, offset, length))


def allocated_bytes(fd: int, offset: int, length: int) -> int:
    """Return how many bytes of the range are allocated. Raises OSError."""
    return total(allocated_ranges(fd, offset, length))


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return sorted *ranges*, joined where they touch or overlap."""
    joined: list[Range] = []
    for start, end in ranges:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif end > start:
            joined.append((start, end))
    return joined


def without(ranges: Iterable[Range], removed: Iterable[Range]) -> list[Range]:
    """Return the parts of *ranges* that no range of *removed* covers; both are sorted and disjoint."""
    left: list[Range] = []
    holes = list(removed)
    first = 0
    for start, end in ranges:
        position = start
        while first < len(holes) and holes[first][1] <= position:
            first += 1
        for hole_start, hole_end in holes[first:]:
            if hole_start >= end:
                break
            if hole_start > position:
                left.append((position, hole_start))
            position = max(position, hole_end)
        if position < end:
            left.append((position, end))
    return left


def total(ranges: Iterable[Range]) -> int:
    """Return the sum of the lengths."""
    return sum(end - start for start, end in ranges)


def fiemap(fd: int, offset: int, end: int, sync: bool = False) -> Iterator[MappedExtent]:
    """Yield the extents that FIEMAP reports from *offset* to *end*, in bytes, clipped to that range.

    Raises OSError: EOPNOTSUPP, ENOTTY or ENOSYS on a file system without FIEMAP, where ``seek`` replaces it.
    """
    position, batch, request = offset, _FIRST_BATCH, _FIEMAP_FLAG_SYNC if sync else 0
    while position < end:
        buffer = bytearray(_HEADER.size + batch * _EXTENT.size)
        _HEADER.pack_into(buffer, 0, position, end - position, request, 0, batch, 0)
        try:
            fcntl.ioctl(fd, _FS_IOC_FIEMAP, buffer, True)
        except OSError as error:
            if error.errno == errno.EFBIG:  # the range starts beyond the largest file
                return
            raise
        count = _HEADER.unpack_from(buffer)[3]
        for logical, physical, size, _, _, flags, *_ in _EXTENT.iter_unpack(
            memoryview(buffer)[_HEADER.size : _HEADER.size + count * _EXTENT.size]
        ):
            start, stop = max(logical, position), min(logical + size, end)
            if start < stop:
                yield MappedExtent(
                    start,
                    stop,
                    bool(flags & _FIEMAP_EXTENT_SHARED),
                    physical + start - logical,
                    bool(flags & _FIEMAP_EXTENT_DATA_INLINE),
                    logical,
                )
                position = stop
            if flags & _FIEMAP_EXTENT_LAST:
                return
        if count < batch:
            return
        batch, request = _BATCH, 0


def _without_fiemap(fd: int, offset: int, end: int) -> Iterator[MappedExtent]:
    if file_system_magic(fd) == TMPFS_MAGIC and has_cachestat(fd):
        return shmem(fd, offset, end)
    return seek(fd, offset, end)


def seek(fd: int, offset: int, end: int) -> Iterator[MappedExtent]:
    """Yield the extents that SEEK_DATA and SEEK_HOLE find, without places on the device and without sharing.

    Data ends with its last block, even beyond the end of the file. Raises OSError.
    """
    block = os.fstatvfs(fd).f_frsize or 1
    # These calls move the shared file position. Nothing uses it: all I/O of this package is pread and pwrite.
    position = offset
    while position < end:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
            stop = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no more data up to the end of the file
                return
            raise
        if start >= end:
            return
        stop = min(-(-stop // block) * block, end)
        yield MappedExtent(start, stop, False, 0, False, start)
        position = stop


def shmem(fd: int, offset: int, end: int) -> Iterator[MappedExtent]:
    """Yield the pages that tmpfs holds for a file, as extents without places on the device.

    SEEK_DATA finds the data, and cachestat(2) the pages in what SEEK_DATA takes for holes. Raises OSError.
    """
    position, last = whole_pages(offset, min(end, _LARGEST))
    while position < last:
        data = next(seek(fd, position, last), None)
        until = data.start if data else last
        for start, stop in held_pages(fd, position, until):
            yield _clipped(start, stop, offset, end)
        if data is None:
            return
        yield _clipped(data.start, data.end, offset, end)
        position = data.end


def _clipped(start: int, stop: int, offset: int, end: int) -> MappedExtent:
    start, stop = max(start, offset), min(stop, end)
    return MappedExtent(start, stop, False, 0, False, start)
