"""tmpfs holds a file's pages, and cachestat(2) (Linux 6.5) counts the pages of a range.

SEEK_DATA finds neither pages that were allocated and never written, nor the part of a huge page beyond the
end of the file. A punch frees both.
"""

import ctypes
import mmap
import os
from dataclasses import dataclass

from fuse_backing.accounting.interface import EVERYTHING, Measurement
from fuse_backing.allocation import Range, allocated_ranges, merged, total, without

_SYS_CACHESTAT = 451
_PAGE = mmap.PAGESIZE
_LARGEST = 1 << 62
_libc = ctypes.CDLL(None, use_errno=True)


class _CachestatRange(ctypes.Structure):
    _fields_ = (("off", ctypes.c_uint64), ("len", ctypes.c_uint64))


class _Cachestat(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("nr_cache", "nr_dirty", "nr_writeback", "nr_evicted", "nr_recently_evicted")
    )


def has_cachestat(fd: int) -> bool:
    """Return whether the kernel can count the pages of *fd*."""
    try:
        _pages(fd, 0, _PAGE)
    except OSError:
        return False
    return True


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
    writes_back: bool = False

    @property
    def freed_unit(self) -> int:
        """Return the size of a page: a punch splits a huge page."""
        return _PAGE

    @property
    def maps_what_it_holds(self) -> bool:
        """Return False for huge pages, which hold more bytes than were written."""
        return self.unit == _PAGE

    def measure(self, fd: int, offset: int, length: int) -> Measurement:
        """Count the pages around the range, and the pages beyond the end of the file.

        A punch frees the latter when it splits the huge page in which the file ends.
        """
        start, end = offset // _PAGE * _PAGE, -(-(offset + length) // _PAGE) * _PAGE
        beyond = max(end, -(-os.fstat(fd).st_size // _PAGE) * _PAGE)
        counted = ((start, end), (beyond, EVERYTHING))
        pages = sum(_pages(fd, *each) for each in counted)
        return _ShmemMeasurement(fd, counted, _bytes_in(fd, offset, length), pages)

    def held(self, fd: int) -> list[Range]:
        """Return the pages of the file, by their offset in it."""
        found = allocated_ranges(fd, 0, EVERYTHING)
        found = merged((start // _PAGE * _PAGE, -(-end // _PAGE) * _PAGE) for start, end in found)
        if total(found) != _pages(fd, 0, EVERYTHING) * _PAGE:
            holes = without([(0, _LARGEST)], found)
            found = merged(sorted([*found, *(page for hole in holes for page in _ranges(fd, *hole))]))
        return found

    def keep_in_place(self, directory_fd: int) -> None:
        """Do nothing: tmpfs overwrites in place."""


@dataclass(frozen=True, slots=True)
class _ShmemMeasurement:
    fd: int
    counted: tuple[Range, Range]
    allocated: int
    pages: int

    def freed(self) -> int:
        return max(0, self.pages - sum(_pages(self.fd, *each) for each in self.counted)) * _PAGE


def _ranges(fd: int, start: int, end: int) -> list[Range]:
    """Return the pages in a range; halve it until each half is full or empty."""
    found = _pages(fd, start, end) * _PAGE
    if found == 0 or found == end - start:
        return [(start, end)] if found else []
    middle = (start + (end - start) // 2) // _PAGE * _PAGE
    return [*_ranges(fd, start, middle), *_ranges(fd, middle, end)]


def _bytes_in(fd: int, offset: int, length: int) -> int:
    """Return how many bytes of a range are on pages that the file has."""
    end = offset + length
    first, last = -(-offset // _PAGE) * _PAGE, end // _PAGE * _PAGE
    if first > last:  # within one page
        return length * _pages(fd, last, first)
    found = _pages(fd, first, last) * _PAGE
    if offset < first:
        found += (first - offset) * _pages(fd, first - _PAGE, first)
    if last < end:
        found += (end - last) * _pages(fd, last, last + _PAGE)
    return found


def _pages(fd: int, start: int, end: int) -> int:
    if start >= end:  # to cachestat(2) a length of 0 means: to the end
        return 0
    counts = _Cachestat()
    asked = _CachestatRange(start, end - start)
    if _libc.syscall(_SYS_CACHESTAT, fd, ctypes.byref(asked), ctypes.byref(counts), 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(counts.nr_cache + counts.nr_evicted)
