"""`ShmemAccounting` counts the pages that tmpfs holds for a file."""

import os
from dataclasses import dataclass

from fuse_backing.accounting.interface import EVERYTHING, Measurement
from fuse_backing.allocation import Range, allocated_ranges
from fuse_backing.shmem_pages import PAGE, pages_in, whole_pages


@dataclass(frozen=True, slots=True)
class ShmemAccounting:
    """A `ShmemAccounting` counts the pages of the file, in memory or swapped out."""

    kind: str
    unit: int
    """The size of a page or a huge page: see ``huge=`` in Documentation/filesystems/tmpfs.rst."""
    remark: str = ""
    exact: bool = True
    native: bool = False
    sees_preallocation: bool = True
    overwrites_free: bool = False
    writes_back: bool = False

    @property
    def freed_unit(self) -> int:
        """Return the size of a page: a punch splits a huge page."""
        return PAGE

    @property
    def maps_what_it_holds(self) -> bool:
        """Return False for huge pages, which hold more bytes than were written."""
        return self.unit == PAGE

    def measure(self, fd: int, offset: int, length: int) -> Measurement:
        """Count the pages around the range, and the pages beyond the end of the file.

        A punch frees the latter when it splits the huge page in which the file ends.
        """
        start, end = whole_pages(offset, offset + length)
        beyond = max(end, whole_pages(0, os.fstat(fd).st_size)[1])
        counted = ((start, end), (beyond, EVERYTHING))
        pages = sum(pages_in(fd, *each) for each in counted)
        return _ShmemMeasurement(fd, counted, _bytes_in(fd, offset, length), pages)

    def held(self, fd: int) -> list[Range]:
        """Return the pages of the file, by their offset in it."""
        return allocated_ranges(fd, 0, EVERYTHING)

    def keep_in_place(self, directory_fd: int) -> None:
        """Do nothing: tmpfs overwrites in place."""


@dataclass(frozen=True, slots=True)
class _ShmemMeasurement:
    fd: int
    counted: tuple[Range, Range]
    allocated: int
    pages: int

    def freed(self) -> int:
        return max(0, self.pages - sum(pages_in(self.fd, *each) for each in self.counted)) * PAGE


def _bytes_in(fd: int, offset: int, length: int) -> int:
    """Return how many bytes of a range are on pages that the file has."""
    end = offset + length
    first, last = -(-offset // PAGE) * PAGE, end // PAGE * PAGE
    if first > last:  # within one page
        return length * pages_in(fd, last, first)
    found = pages_in(fd, first, last) * PAGE
    if offset < first:
        found += (first - offset) * pages_in(fd, first - PAGE, first)
    if last < end:
        found += (end - last) * pages_in(fd, last, last + PAGE)
    return found
