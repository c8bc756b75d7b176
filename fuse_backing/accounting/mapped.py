"""Accounts for hosts that hold what a file maps, in whole blocks, or clusters of ext4's bigalloc.

A cluster stays allocated while any block of it is mapped (fs/ext4/extents.c, ext4_remove_blocks), and lies at
a multiple of its size in the file as on the disk. So the units that hold a mapped byte are what is held.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fuse_backing.accounting.interface import EVERYTHING, Measurement
from fuse_backing.allocation import MappedExtent, Range, mapped_extents, merged, total, without


@dataclass(frozen=True, slots=True)
class MappedAccounting:
    """Accounts by the file's map, FIEMAP or SEEK_DATA. A unit shared with another file is never freed."""

    kind: str
    unit: int
    sees_preallocation: bool = True
    exact: bool = True
    remark: str = ""
    native: bool = True
    maps_what_it_holds: bool = True
    writes_back: bool = False
    block: int = 0
    """The least that it frees, if that is less than the unit that it allocates."""

    @property
    def freed_unit(self) -> int:
        """The least that it frees."""
        return self.block or self.unit

    def measure(self, fd: int, offset: int, length: int) -> Measurement:
        """Read the map of the units around the range."""
        start, end = around(self.freed_unit, offset, length)
        before = in_blocks(mapped_extents(fd, start, end - start))
        if any(extent.shared for extent in before):
            # What was written over a shared extent and not written back has its own place only then.
            before = in_blocks(mapped_extents(fd, start, end - start, sync=True))
        return MappedMeasurement(self, fd, start, end, allocated_in(before, offset, length), before)

    def held(self, fd: int) -> list[Range]:
        """Return the units of the file that hold anything, by their place in the file."""
        return units(self.freed_unit, in_blocks(mapped_extents(fd, 0, EVERYTHING)))

    def keep_in_place(self, directory_fd: int) -> None:
        """Do nothing: overwrites go where the data is."""


@dataclass(frozen=True, slots=True)
class MappedMeasurement:
    """The extents of the units around a range, before it is changed."""

    accounting: MappedAccounting
    fd: int
    start: int
    end: int
    allocated: int
    before: list[MappedExtent]

    def freed(self) -> int:
        """Read the map again and return the bytes of the file's own units that are gone from it."""
        own = units(self.accounting.freed_unit, (extent for extent in self.before if not extent.shared))
        if not own:
            return 0
        after = in_blocks(mapped_extents(self.fd, self.start, self.end - self.start))
        return total(without(own, units(self.accounting.freed_unit, after)))


def around(unit: int, offset: int, length: int) -> Range:
    """Return the whole units around a range."""
    return offset // unit * unit, min(-(-(offset + length) // unit) * unit, EVERYTHING)


def in_blocks(extents: Iterable[MappedExtent]) -> list[MappedExtent]:
    """Return the extents that blocks hold: without data that lies in the inode or among metadata."""
    return [extent for extent in extents if not extent.inline]


def units(unit: int, extents: Iterable[MappedExtent]) -> list[Range]:
    """Return the units of a file, as ranges of bytes, that hold any byte of *extents*."""
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
