"""An empty pool fits on the smallest metadata device, and does not fit with one block less."""

import pytest

from tests.thin.ram_pool import RamPool
from thinsim.errors import DeviceMapperError
from thinsim.thin.metadata.space_map_metadata import least_metadata
from thinsim.thin.metadata.store import METADATA_BLOCK_SIZE
from thinsim.units import DataBlocks


@pytest.mark.parametrize("blocks", [1, 16320, 16321, 65536])
def test_an_empty_pool_takes_that_much_metadata_and_no_less(blocks: int) -> None:
    least = least_metadata(DataBlocks(blocks)) // METADATA_BLOCK_SIZE
    assert RamPool(data_blocks=blocks, block_size=1, metadata_blocks=least).problems() == []
    with pytest.raises(DeviceMapperError, match="unable to allocate new metadata block"):
        RamPool(data_blocks=blocks, block_size=1, metadata_blocks=least - 1)
