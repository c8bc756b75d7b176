"""`MappedAccounting` counts the blocks, or the clusters of ext4, that a file's map names.

A cluster (bigalloc) stays allocated while any block of it is mapped (fs/ext4/extents.c, ext4_remove_blocks).
It begins at a multiple of its size, in the file as on the disk. So the host holds the units with a mapped
byte.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fuse_backing.accounting.interface import EVERYTHING, Measurement
from fuse_backing.allocation import MappedExtent, Range, mapped_extents, merged, total, without


@dataclass(frozen=True, slots=True)
class MappedAccounting:
    """A `MappedAccounting` counts units of the file's map, which FIEMAP or SEEK_DATA returns.

    A unit that is shared with another file counts as never freed.
    """

    kind: str
    unit: int
    sees_preallocation: bool = True
    overwrites_free: bool = False
    exact: bool = True
    remark: str = ""
    native: bool = True
    maps_what_it_holds: bool = True
    writes_back: bool = False
    block: int = 0
    """The smallest number of bytes that the host frees, if it is less than ``unit``; otherwise 0."""

    @property
    def freed_unit(self) -> int:
        """Return the smallest number of bytes that the host frees."""
        return self.block or self.unit

    def measure(self, fd: int, offset: int, length: int) -> Measurement:
        """Read the map of the units around the range."""
        start, end = around(self.freed_unit, offset, length)
        before = in_blocks(mapped_extents(fd, start, end - start))
        if any(extent.shared for extent in before):
            # Data that was written over a shared extent gets its own place only when it is written back.
            before = in_blocks(mapped_extents(fd, start, end - start, sync=True))
        return MappedMeasurement(self, fd, start, end, allocated_in(before, offset, length), before)

    def held(self, fd: int) -> list[Range]:
        """Return the units of the file that hold data, by their offset in the file."""
        return units(self.freed_unit, in_blocks(mapped_extents(fd, 0, EVERYTHING)))

    def keep_in_place(self, directory_fd: int) -> None:
        """Do nothing: the host overwrites in place."""


@dataclass(frozen=True, slots=True)
class MappedMeasurement:
    """A `MappedMeasurement` has the extents of the units around a range, before the range is changed."""

    accounting: MappedAccounting
    fd: int
    start: int
    end: int
    allocated: int
    before: list[MappedExtent]

    def freed(self) -> int:
        """Read the map again, and return the bytes of the file's unshared units that are no longer in it."""
        own = units(self.accounting.freed_unit, (extent for extent in self.before if not extent.shared))
        if not own:
            return 0
        after = in_blocks(mapped_extents(self.fd, self.start, self.end - self.start))
        return total(without(own, units(self.accounting.freed_unit, after)))


def around(unit: int, offset: int, length: int) -> Range:
    """Return the whole units around a range."""
    return offset // unit * unit, min(-(-(offset + length) // unit) * unit, EVERYTHING)


def in_blocks(extents: Iterable[MappedExtent]) -> list[MappedExtent]:
    """Return the extents that are in blocks, without data that is inline in the inode or in metadata."""
    return [extent for extent in extents if not extent.inline]


def units(unit: int, extents: Iterable[MappedExtent]) -> list[Range]:
    """Return the units of a file, as ranges of bytes, that have any byte of *extents*."""
    return merged((extent.start // unit * unit, -(-extent.end // unit) * unit) for extent in extents)


def allocated_in(extents: Iterable[MappedExtent], offset: int, length: int) -> int:
    """Return how many bytes of the range are in *extents*."""
    end = offset + length
    return total(
        merged(
            (max(extent.start, offset), min(extent.end, end))
            for extent in extents
            if extent.start < end and extent.end > offset
        )
    )
