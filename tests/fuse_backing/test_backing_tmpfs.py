"""The map of a file is the same on tmpfs as on ext4, and tests pass on both."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuse_backing import allocation
from tests.fuse_backing.backing_store import host_fallocate
from tests.fuse_backing.hosts import KEEP, PUNCH, on
from tests.host_file_systems import MIB, HostFileSystem, has_extents, host_file_system, missing_for
from tests.repository import REPOSITORY

pytestmark = pytest.mark.rig

BLOCK = 4096
SELECTED = (
    "test_backing_allocation.py::test_preallocation_is_allocated_even_beyond_the_end_of_the_file",
    "test_backing_latency.py::test_the_document_has_percentiles_and_buckets[kernel]",
    "test_backing_loop.py::test_a_zero_out_of_the_device_is_a_zero_range[kernel]",
    "test_backing_map.py::test_the_map_of_many_extents_loses_none[kernel]",
    "test_backing_sparsefile.py::test_a_zero_range_keeps_the_blocks",
)
"""Tests that once failed, or were skipped, when /tmp was a tmpfs."""


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a directory with a short name, since the tests there make sockets."""
    with tempfile.TemporaryDirectory(prefix="thinsim-test-", dir="/run") as name:
        yield Path(name)


@on("ext4", "tmpfs")
def test_the_map_has_preallocation_and_whole_last_blocks(host: HostFileSystem) -> None:
    with (host.directory / "file").open("w+b", buffering=0) as file:
        fd = file.fileno()
        os.pwrite(fd, b"x" * BLOCK, 3 * BLOCK)
        os.pwrite(fd, b"x" * (BLOCK + 1), 20 * BLOCK)  # the file ends within a block
        assert host_fallocate(fd, KEEP, 9 * BLOCK, 2 * BLOCK) == 0  # in a hole
        assert host_fallocate(fd, KEEP, MIB, 4 * BLOCK) == 0  # beyond the end
        whole = [(3, 4), (9, 11), (20, 22), (256, 260)]
        held = [(start * BLOCK, end * BLOCK) for start, end in whole]
        assert allocation.allocated_ranges(fd, 0, 1 << 40) == held
        assert allocation.first_extents(fd, 4 * BLOCK, 1) == [(9 * BLOCK, 11 * BLOCK, False)]
        os.fsync(fd)
        assert os.fstat(fd).st_blocks * 512 == allocation.allocated_bytes(fd, 0, 1 << 40) == 9 * BLOCK
        clipped = allocation.allocated_ranges(fd, 9 * BLOCK + 5, BLOCK)
        assert clipped == [(9 * BLOCK + 5, 10 * BLOCK + 5)]
        assert allocation.allocated_ranges(fd, 21 * BLOCK, 3) == [(21 * BLOCK, 21 * BLOCK + 3)]
        assert host_fallocate(fd, PUNCH, 0, 22 * BLOCK) == 0
        assert allocation.allocated_ranges(fd, 0, 1 << 40) == held[-1:]
        os.ftruncate(fd, 0)
        assert allocation.allocated_ranges(fd, 0, 1 << 40) == []


@on("tmpfs with huge pages")
def test_the_map_on_tmpfs_has_all_of_a_huge_page(host: HostFileSystem) -> None:
    with (host.directory / "file").open("w+b", buffering=0) as file:
        fd = file.fileno()
        os.pwrite(fd, b"x", 4 * MIB)
        held = os.fstat(fd).st_blocks * 512
        assert held > BLOCK  # the host gave it a huge page
        assert allocation.allocated_ranges(fd, 0, 1 << 40) == [(4 * MIB, 4 * MIB + held)]


@pytest.mark.extents
def test_a_test_that_needs_extents_has_them(tmp_path: Path) -> None:
    assert has_extents(tmp_path)


@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_tests_pass_with_their_directories_on_either(place: Path, kind: str) -> None:
    missing = missing_for(kind)
    if missing is not None:
        pytest.skip(missing)
    with host_file_system(kind, place) as host:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"),
                f"--basetemp={host.directory}/t",
                *(f"{Path(__file__).parent}/{each}" for each in SELECTED),
            ],
            cwd=REPOSITORY,
            env={**os.environ, "THINSIM_SHARED_MACHINE": "1", "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith(f"{len(SELECTED)} passed in "), done.stdout
