"""Unmapped blocks are read from the external origin, and provisioned blocks are copied from it."""

import pytest

from tests.thin.ram_pool import RamPool
from thinsim.thin.device import ThinDevice
from thinsim.thin.plan import CopyOrigin, ReadData, ReadOrigin, ReadZeros, WriteData, ZeroData
from thinsim.thin.space_errors import OutOfDataSpace
from thinsim.thin.table import PoolFeatures

BLOCK = 4096
ORIGIN = bytes(range(256)) * (BLOCK // 256 * 3) + b"tail" * 100
"""The origin has three blocks and 400 bytes."""


def device_on_origin(ram: RamPool, blocks: int = 8) -> ThinDevice:
    ram.message("create_thin 1")
    return ram.open(1, blocks, ORIGIN)


def test_unmapped_blocks_read_as_the_origin_and_as_zeros_beyond_it() -> None:
    ram = RamPool()
    device = device_on_origin(ram)
    assert device.plan_read(0, 8 * BLOCK) == [
        ReadOrigin(0, len(ORIGIN)),
        ReadZeros(8 * BLOCK - len(ORIGIN)),
    ]
    assert ram.content(device) == ORIGIN.ljust(8 * BLOCK, b"\0")
    assert device.plan_read(3 * BLOCK + 300, 200) == [ReadOrigin(3 * BLOCK + 300, 100), ReadZeros(100)]
    assert device.plan_read(5 * BLOCK, BLOCK) == [ReadZeros(BLOCK)]
    assert ram.pool.blocks_used() == 0


def test_a_write_copies_its_block_from_the_origin_first() -> None:
    ram = RamPool()
    device = device_on_origin(ram)
    plan = device.plan_write(BLOCK + 10, 5)
    assert plan.steps == [CopyOrigin(BLOCK, 0, BLOCK), WriteData(0, 10, 5)]
    device.abandon(plan)
    ram.write(device, BLOCK + 10, b"hello")
    expected = bytearray(ORIGIN.ljust(8 * BLOCK, b"\0"))
    expected[BLOCK + 10 : BLOCK + 15] = b"hello"
    assert ram.content(device) == expected
    assert device.plan_read(BLOCK, BLOCK) == [ReadData(BLOCK, BLOCK)]


def test_a_block_that_the_write_covers_is_not_copied_and_neighbours_are_copied_together() -> None:
    ram = RamPool()
    device = device_on_origin(ram)
    assert device.plan_write(BLOCK, BLOCK).steps == [WriteData(0, 0, BLOCK)]
    ram.crash()
    plan = ram.open(1, 8, ORIGIN).plan_write(1, 2 * BLOCK - 2)
    assert plan.steps == [CopyOrigin(0, 0, 2 * BLOCK), WriteData(0, 1, 2 * BLOCK - 2)]


@pytest.mark.parametrize("zeroing", [True, False])
def test_a_block_is_zeroed_after_the_end_of_the_origin_unless_zeroing_is_off(zeroing: bool) -> None:
    ram = RamPool(features=PoolFeatures(skip_block_zeroing=not zeroing))
    device = device_on_origin(ram)
    ram.write(device, 3 * BLOCK, b"n")
    rest = b"\0" if zeroing else b"\xee"
    assert ram.read(device, 3 * BLOCK, BLOCK) == b"n" + ORIGIN[3 * BLOCK + 1 :] + rest * (BLOCK - 400)
    plan = device.plan_write(6 * BLOCK, 1)
    assert plan.steps == [ZeroData(BLOCK, BLOCK)] * zeroing + [WriteData(0, BLOCK, 1)]


def test_a_discard_brings_the_origin_back() -> None:
    ram = RamPool()
    device = device_on_origin(ram)
    ram.write_blocks(device, 0, 8)
    ram.discard_blocks(device, 1, 4)
    expected = b"w" * BLOCK + ORIGIN[BLOCK:].ljust(4 * BLOCK, b"\0") + b"w" * 3 * BLOCK
    assert ram.content(device) == expected


def test_a_snapshot_has_no_origin_unless_its_table_names_one() -> None:
    ram = RamPool()
    device = device_on_origin(ram)
    ram.write_blocks(device, 2)
    ram.message("create_snap 2 1")
    assert ram.content(ram.open(2, 4)) == bytes(2 * BLOCK) + b"w" * BLOCK + bytes(BLOCK)
    assert ram.content(ram.open(2, 4, ORIGIN)) == ORIGIN[: 2 * BLOCK] + b"w" * BLOCK + ORIGIN[
        3 * BLOCK :
    ].ljust(BLOCK, b"\0")


def test_a_pool_that_allocates_no_blocks_ignores_the_end_of_the_origin() -> None:
    ram = RamPool(data_blocks=1)
    device = device_on_origin(ram)
    ram.write_blocks(device, 7)
    with pytest.raises(OutOfDataSpace):
        ram.write_blocks(device, 6)
    assert ram.read(device, 0, 3 * BLOCK) == ORIGIN[: 3 * BLOCK]
    assert device.plan_read(3 * BLOCK, 2 * BLOCK) == [ReadOrigin(3 * BLOCK, 2 * BLOCK)]
    with pytest.raises(OSError, match="Input/output error"):
        ram.read(device, 3 * BLOCK, 2 * BLOCK)
