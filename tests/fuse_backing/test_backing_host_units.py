"""Each kind of host allocates and frees its own units: blocks, clusters or extents."""

import os
from collections.abc import Callable

import pytest
import trio

from fuse_backing.accounting.xfs import free_bytes
from fuse_backing.allocation import mapped_extents
from fuse_backing.store_client import StoreClient
from tests.fuse_backing.backing_store import Store, host_fallocate
from tests.fuse_backing.hosts import BLOCK, PUNCH, Punched, each, on, served_by_server
from tests.host_file_systems import MIB, HostFileSystem
from thinsim.rig.host_file import exact_host_accounting

pytestmark = pytest.mark.rig


@on("btrfs")
def test_btrfs_frees_nothing_of_an_extent_of_which_every_second_mib_is_left(
    punched: Callable[..., Punched],
) -> None:
    file = punched("file", map_room=False)
    assert host_fallocate(file.fd, 0, 0, 128 * MIB) == 0  # in one extent
    file.write(0, os.urandom(8 * MIB))
    os.fsync(file.fd)

    def punch_every(first: int) -> None:
        for offset, length in each(first * MIB, 128 * MIB, 2 * MIB, MIB):
            file.punch(offset, length)

    assert file.freed_by(lambda: punch_every(1)) == 0
    assert file.freed_by(lambda: punch_every(0)) == 128 * MIB


@on("btrfs compressed")
def test_btrfs_frees_what_compressed_data_took_on_disk(punched: Callable[..., Punched]) -> None:
    file = punched("file", map_room=False)
    file.write(0, b"abcdefgh" * (128 * MIB // 8))
    os.fsync(file.fd)

    def punch_every() -> None:
        for offset, length in each(MIB, 128 * MIB, 2 * MIB, MIB):
            file.punch(offset, length)

    # btrfs compresses each 128 KiB to one block.
    assert file.freed_by(punch_every) == 64 * 8 * BLOCK


@on("ext4 with clusters of 64 KiB", of=("overlay on ext4 with clusters",))
def test_ext4_with_clusters_frees_nothing_of_a_cluster_of_which_a_block_is_left(
    punched: Callable[..., Punched],
) -> None:
    file = punched("file")
    file.write(0, os.urandom(MIB))
    os.fsync(file.fd)

    def punch_every() -> None:
        for offset, length in each(BLOCK, MIB, 2 * BLOCK, BLOCK):
            file.punch(offset, length)

    assert file.freed_by(punch_every) == 0
    assert file.freed_by(lambda: file.punch(0, 65536)) == 65536
    assert file.freed_by(lambda: file.punch(65536, MIB - 65536)) == MIB - 65536


@on("xfs with reflink")
def test_xfs_is_asked_for_free_space_however_many_pieces_it_is_in(host: HostFileSystem) -> None:
    with (host.directory / "file").open("w+b", buffering=0) as file:
        file.write(os.urandom(4 * MIB))
        os.fsync(file)
        [extent] = mapped_extents(file.fileno(), 0, 4 * MIB)
        place = extent.physical, extent.physical + 4 * MIB
        assert free_bytes(file.fileno(), *place) == 0
        for offset in range(0, 4 * MIB, 2 * BLOCK):
            assert host_fallocate(file.fileno(), PUNCH, offset, BLOCK) == 0
        # XFS may have taken some of the pieces for the map of the file.
        tree = os.fstat(file.fileno()).st_blocks * 512 - 2 * MIB
        assert 2 * MIB - tree <= free_bytes(file.fileno(), *place) <= 2 * MIB
        assert free_bytes(file.fileno(), place[0] + BLOCK, place[0] + 2 * BLOCK) == 0


@on("ext4 without extents")
@served_by_server
def test_ext4_without_extents_is_measured_like_any_ext4(punched: Callable[..., Punched]) -> None:
    file = punched("file", map_room=False)
    file.write(0, os.urandom(4 * MIB))
    os.fsync(file.fd)
    # One block of the file's map covers its blocks from 12 to 1035.
    assert file.freed_by(lambda: file.punch(MIB, MIB)) == MIB
    assert file.freed_by(lambda: file.punch(3 * MIB + 1, 2 * BLOCK)) == BLOCK
    assert os.strerror(host_fallocate(file.fd, 0, 8 * MIB, MIB)) == "Operation not supported"


@on("overlay on xfs with an extent size hint")
@served_by_server
def test_an_overlay_on_a_host_that_allocates_more_than_a_write_has_a_remark(
    host: HostFileSystem, fitting_store: Store, punched: Callable[..., Punched]
) -> None:
    info = trio.run(StoreClient(fitting_store.control).ping)
    assert (info.host, info.host_unit) == ("overlayfs", MIB)
    assert "allocates 1048576 bytes at once" in info.host_remark
    found = exact_host_accounting(host.directory)
    assert (found.maps_what_it_holds, found.freed_unit) == (False, BLOCK)
    file = punched("file")
    file.write(0, b"x" * BLOCK)
    os.fsync(file.fd)
    assert file.freed_by(lambda: file.punch(0, MIB)) == MIB
