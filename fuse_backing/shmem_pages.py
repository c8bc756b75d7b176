"""These functions find the pages that tmpfs holds for a file, by cachestat(2) (Linux 6.5).

SEEK_DATA finds neither pages that were allocated and never written, nor the part of a page or a huge page
beyond the end of the file. tmpfs counts all of them, and a punch frees them.
"""

import ctypes
import mmap
import os
from collections.abc import Iterator

PAGE = mmap.PAGESIZE
_SYS_CACHESTAT = 451
_libc = ctypes.CDLL(None, use_errno=True)


class _CachestatRange(ctypes.Structure):
    _fields_ = (("off", ctypes.c_uint64), ("len", ctypes.c_uint64))


class _Cachestat(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("nr_cache", "nr_dirty", "nr_writeback", "nr_evicted", "nr_recently_evicted")
    )


def has_cachestat(fd: int) -> bool:
    """Return whether the kernel can count the pages of *fd* for this process."""
    try:
        pages_in(fd, 0, PAGE)
    except OSError:
        return False
    return True


def pages_in(fd: int, start: int, end: int) -> int:
    """Return how many pages of a range the file has, in memory or swapped out. Raises OSError."""
    if start >= end:  # to cachestat(2) a length of 0 means: to the end
        return 0
    counts = _Cachestat()
    asked = _CachestatRange(start, end - start)
    if _libc.syscall(_SYS_CACHESTAT, fd, ctypes.byref(asked), ctypes.byref(counts), 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(counts.nr_cache + counts.nr_evicted)


def held_pages(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of pages that the file has from *start* to *end*, both multiples of a page, in order.

    Ranges that touch are one. Raises OSError.
    """
    joined: tuple[int, int] | None = None
    for found in _full_parts(fd, start, end):
        if joined is not None and joined[1] == found[0]:
            joined = joined[0], found[1]
            continue
        if joined is not None:
            yield joined
        joined = found
    if joined is not None:
        yield joined


def _full_parts(fd: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts that are full, by halving the range until each part is full or empty."""
    found = pages_in(fd, start, end) * PAGE
    if found == 0:
        return
    if found == end - start or end - start <= PAGE:
        yield start, end
        return
    middle = (start + (end - start) // 2) // PAGE * PAGE
    yield from _full_parts(fd, start, middle)
    yield from _full_parts(fd, middle, end)


def whole_pages(start: int, end: int) -> tuple[int, int]:
    """Return the range of whole pages around a range of bytes."""
    return start // PAGE * PAGE, -(-end // PAGE) * PAGE
