"""A read from outside the page cache reads its own pages alone, however much the disk reads ahead."""

import ctypes
import mmap
import os
from pathlib import Path

import pytest

from tests.dm.mappers_under_test import BLOCK, POOL, make_pool, make_thin
from tests.dm.plane_backends import mapper_served_by
from thinsim.dm.daemon.native_plane import FILE
from thinsim.rig.backing import DATA_FILE

pytestmark = [pytest.mark.rig, pytest.mark.extents]

PAGE = 4096
BLOCKS = 32


def cached_pages(file: Path) -> int:
    """Return how many pages of *file* are in the page cache: mincore(2)."""
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        pages = (ctypes.c_ubyte * (len(mapped) // PAGE))()
        first = ctypes.c_char.from_buffer(mapped)
        failed = ctypes.CDLL(None).mincore(ctypes.byref(first), ctypes.c_size_t(len(mapped)), pages)
        del first  # it holds the mapping
    assert not failed
    return sum(page & 1 for page in pages)


async def test_a_cold_read_reads_no_page_beyond_it(tmp_path: Path) -> None:
    async with mapper_served_by(FILE, tmp_path) as mapper:
        await make_pool(mapper)
        await make_thin(mapper, "thin", 0)
        await mapper.write("thin", 0, os.urandom(BLOCKS * BLOCK))
        await mapper.flush("thin")
        file = tmp_path / "host" / DATA_FILE
        fd = os.open(file, os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
        await mapper.read("thin", 3 * BLOCK, PAGE)  # Python looks up the mappings
        before = cached_pages(file), (await mapper.dm.plane_traffic(POOL)).reads
        for block in range(4, BLOCKS, 4):
            await mapper.read("thin", block * BLOCK, PAGE)
        assert cached_pages(file) == before[0] + 7
        await mapper.read("thin", 9 * BLOCK, 2 * BLOCK)
        assert cached_pages(file) == before[0] + 7 + 2 * BLOCK // PAGE
        assert (await mapper.dm.plane_traffic(POOL)).reads == before[1] + 8
