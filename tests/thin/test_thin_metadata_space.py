"""Few free metadata blocks cause an event, then stop all writes until the device grows."""

import errno
from contextlib import suppress
from pathlib import Path

import pytest

from tests.thin.metadata_tools import needs_tools, thin_check
from tests.thin.ram_pool import RamPool
from thinsim.errors import DeviceMapperError
from thinsim.thin.device import ThinDevice
from thinsim.thin.modes import PoolMode
from thinsim.thin.table import PoolFeatures

THIN_BLOCKS = 1 << 20


def small() -> tuple[RamPool, ThinDevice]:
    ram = RamPool(data_blocks=40000, block_size=1, metadata_blocks=100)
    return ram, ram.thin(1, THIN_BLOCKS)


def fill_metadata(ram: RamPool, device: ThinDevice) -> None:
    """Provision blocks until the pool allocates no more."""
    number = 0
    while ram.pool.mode is PoolMode.WRITE:
        with suppress(DeviceMapperError):
            ram.write_blocks(device, number * 20, 20)
        number += 1


def test_a_tenth_of_the_metadata_counts_as_used() -> None:
    for blocks, reserve in ((100, 10), (109, 10), (4096, 409), (40960, 4096), (100000, 4096)):
        status = RamPool(metadata_blocks=blocks).pool.status()
        bitmaps = -(-blocks // 16320)
        assert (status.used_metadata, status.total_metadata) == (7 + bitmaps + 1 + reserve, blocks)


def test_the_pool_stops_writing_when_the_reserve_is_reached() -> None:
    ram, device = small()
    fill_metadata(ram, device)
    assert ram.pool.mode is PoolMode.OUT_OF_METADATA_SPACE
    status = ram.pool.status()
    assert (status.mode, status.used_metadata, status.needs_check) == ("ro", 100, False)
    assert ram.pool.metadata.space.nr_free > 0, "the reserve is left"
    with pytest.raises(DeviceMapperError) as caught:
        ram.message("create_thin 2")
    assert caught.value.errno == errno.EOPNOTSUPP
    assert all("leaked" in problem for problem in ram.problems())


def test_a_full_pool_opens_with_its_mappings_and_falls_back_at_its_first_commit() -> None:
    ram, device = small()
    fill_metadata(ram, device)
    mapped = ram.blocks_of(1)
    ram.crash()
    assert ram.blocks_of(1) == mapped
    assert ram.pool.mode is PoolMode.WRITE
    with pytest.raises(DeviceMapperError):
        ram.write_blocks(ram.open(1, THIN_BLOCKS), 499999)
    assert ram.pool.mode is PoolMode.OUT_OF_METADATA_SPACE


@needs_tools
def test_growth_of_the_metadata_device_brings_the_pool_back(tmp_path: Path) -> None:
    ram, device = small()
    fill_metadata(ram, device)
    ram.metadata.blocks = 200
    ram.pool.grow(ram.data_blocks)
    ram.commit()
    assert (ram.pool.mode, ram.pool.status().total_metadata) == (PoolMode.WRITE, 200)
    ram.write_blocks(device, 7)
    ram.commit()
    # The block that was allocated when the metadata were full was never mapped.
    assert all("leaked" in problem for problem in ram.problems())
    assert thin_check(ram.metadata, tmp_path / "metadata", leaks=True) == ""


def test_a_table_that_is_loaded_again_asks_for_write_mode() -> None:
    ram, device = small()
    fill_metadata(ram, device)
    ram.pool.bind(ram.features, 0)
    assert ram.pool.mode is PoolMode.WRITE
    ram.pool.bind(PoolFeatures(read_only=True), 0)
    assert ram.pool.mode is PoolMode.READ_ONLY


def test_few_free_metadata_blocks_are_one_event_at_the_edge() -> None:
    ram, device = small()
    assert ram.pool.status().metadata_low_watermark == 25
    number = 0
    while not ram.pool.event_nr:
        assert ram.pool.metadata.space.nr_free > 25
        ram.commit()
        ram.write_blocks(device, number * 20, 20)
        number += 1
    # The mark was reached within a transaction; its commit freed the blocks that it had replaced.
    assert ram.pool.metadata.space.nr_free < 35
    ram.write_blocks(device, number * 20, 20)
    assert ram.pool.event_nr == 1
