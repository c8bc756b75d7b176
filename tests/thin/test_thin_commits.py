"""A commit of a pool works, or fails and leaves the same state as the kernel after a lost transaction."""

import errno
from functools import partial

import pytest

from tests.thin.ram_pool import RamPool
from thinsim.errors import DeviceMapperError
from thinsim.thin.modes import PoolMode
from thinsim.thin.plan import Commit, FlushData, ReadZeros

BLOCK = 4096


def test_a_flush_commits_only_when_this_device_changed() -> None:
    ram = RamPool()
    device, other = ram.thin(1), ram.thin(2)
    assert device.plan_flush() == [FlushData()]
    ram.write_blocks(device, 0)
    assert device.plan_flush() == [Commit()]
    assert other.plan_flush() == [FlushData()]
    ram.flush(device)
    assert device.plan_flush() == [FlushData()]
    ram.write_blocks(device, 0)
    assert device.plan_flush() == [FlushData()]
    ram.discard_blocks(device, 0)
    assert device.plan_flush() == [Commit()]


def test_a_pool_that_is_not_in_service_writes_nothing() -> None:
    ram = RamPool()
    ram.crash()
    ram.metadata.fails = {"write", "flush"}
    ram.pool.commit()
    assert ram.pool.mode is PoolMode.WRITE


def test_a_pool_in_service_writes_its_superblock_though_nothing_has_changed() -> None:
    ram = RamPool()
    assert not ram.pool.changed
    ram.metadata.log = []
    ram.pool.commit()
    assert [entry and entry[0] for entry in ram.metadata.log] == [None, 0, None]
    ram.metadata.fails = {"write"}
    with pytest.raises(DeviceMapperError):
        ram.pool.commit()
    assert (ram.pool.mode, ram.pool.status().needs_check) == (PoolMode.READ_ONLY, True)


def test_a_crash_before_the_commit_leaves_the_last_one() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0)
    ram.flush(device)
    ram.write_blocks(device, 1)
    ram.crash()
    assert ram.blocks_of(1) == {0: 0}
    assert ram.problems() == []


def test_a_failed_commit_returns_to_the_last_one_read_only_and_in_need_of_a_check() -> None:
    ram = RamPool()
    device, other = ram.thin(1), ram.thin(2)
    ram.write_blocks(device, 0)
    ram.write_blocks(other, 0)
    ram.commit()
    ram.write_blocks(device, 1)
    ram.fails_to_flush = True
    with pytest.raises(DeviceMapperError) as caught:
        ram.pool.commit()
    assert caught.value.errno == errno.EIO
    assert ram.blocks_of(1) == {0: 0}
    assert ram.read(device, 0, BLOCK) == b"w" * BLOCK
    status = ram.pool.status()
    assert (status.mode, status.needs_check, ram.pool.changed) == ("ro", True, False)
    # The device still counts the lost block, as in the kernel.
    assert device.status().text(0, 512) == "0 512 thin 16 7"
    assert ram.problems() == []
    with pytest.raises(DeviceMapperError) as caught:
        device.plan_flush()
    assert caught.value.errno == errno.EIO
    assert other.plan_flush() == [FlushData()]
    ram.fails_to_flush = False
    ram.crash()
    assert (ram.pool.status().mode, ram.pool.status().needs_check) == ("ro", True)


def test_a_write_that_outlives_its_transaction_is_eio() -> None:
    ram = RamPool()
    device = ram.thin(1)
    plan, discard = device.plan_write(0, BLOCK), device.plan_discard(BLOCK, BLOCK)
    ram.pool.transaction.abort()
    with pytest.raises(DeviceMapperError) as caught:
        device.complete(plan)
    assert caught.value.errno == errno.EIO
    device.complete(discard)
    assert ram.pool.blocks_used() == 0
    assert ram.problems() == []


def test_a_discard_that_outlives_its_transaction_fails_the_pool_as_the_kernel_s() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0, 4)
    ram.commit()
    discard = device.plan_discard(0, 2 * BLOCK)
    ram.pool.transaction.abort()
    assert ram.pool.mode is PoolMode.READ_ONLY
    with pytest.raises(DeviceMapperError) as caught:
        device.complete(discard)
    assert (caught.value.errno, ram.pool.mode) == (errno.EIO, PoolMode.FAIL)
    ram.crash()
    assert ram.blocks_of(1) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert ram.problems() == []


def test_a_device_that_was_lost_with_its_transaction_can_be_opened_and_holds_nothing() -> None:
    ram = RamPool()
    ram.pool.create_thin(1)
    ram.pool.create_thin(2)
    opened = ram.open(1)
    ram.write_blocks(opened, 0, 1)
    ram.pool.transaction.abort()
    for device in (opened, ram.open(1), ram.open(2)):
        assert device.status().text(0, 8) == "0 8 thin Error"
        assert device.plan_read(0, BLOCK) == [ReadZeros(BLOCK)]
        assert device.plan_discard(0, BLOCK).steps == []
        for request in (partial(device.plan_write, 0, BLOCK), device.plan_flush):
            with pytest.raises(DeviceMapperError) as caught:
                request()
            assert caught.value.errno == errno.EIO
        ram.pool.close_thin(device)
    assert ram.pool.thin_ids() == []
    assert ram.problems() == []
    ram.crash()
    with pytest.raises(DeviceMapperError) as caught:
        ram.open(1)
    assert caught.value.errno == errno.ENODATA


def test_a_lost_transaction_id_is_shown_until_the_pool_is_opened_again() -> None:
    ram = RamPool()
    ram.pool.set_transaction_id(0, 5)
    ram.pool.transaction.abort()
    assert ram.pool.status().transaction_id == 5
    ram.crash()
    assert ram.pool.status().transaction_id == 0


def test_a_second_failure_fails_the_pool_for_good() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.pool.transaction.abort()
    ram.pool.transaction.abort()
    assert ram.pool.mode is PoolMode.FAIL
    assert ram.pool.status().text(0, 384) == "0 384 thin-pool Fail"
    assert device.status().text(0, 8) == "0 8 thin Fail"
    for request in (device.plan_read, device.plan_write, device.plan_discard):
        with pytest.raises(DeviceMapperError) as caught:
            request(0, BLOCK)
        assert caught.value.errno == errno.EIO
    with pytest.raises(DeviceMapperError) as caught:
        ram.open(1)
    assert caught.value.errno == errno.EINVAL
    ram.pool.bind(ram.features, 0)
    assert ram.pool.mode is PoolMode.FAIL


def test_a_lost_snapshot_leaves_the_blocks_of_its_origin_looking_shared() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0)
    ram.commit()
    ram.pool.create_snap(2, 1)
    ram.pool.transaction.abort()
    assert device.needs_remap(0, BLOCK)
    with pytest.raises(DeviceMapperError) as caught:
        device.plan_write(0, BLOCK)
    assert caught.value.errno == errno.EIO
    assert ram.open(2).status().text(0, 8) == "0 8 thin Error"
    assert ram.problems() == []


def test_a_device_whose_deletion_is_lost_is_unchanged() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.write_blocks(device, 0)
    ram.commit()
    ram.pool.close_thin(device)
    ram.pool.delete(1)
    ram.pool.transaction.abort()
    assert ram.read(ram.open(1), 0, BLOCK) == b"w" * BLOCK
    assert ram.problems() == []


def test_reserving_a_metadata_snapshot_is_eperm_where_its_first_commit_fails() -> None:
    ram = RamPool()
    ram.thin(1)
    ram.metadata.fails = {"write"}
    with pytest.raises(DeviceMapperError) as caught:
        ram.message("reserve_metadata_snap")
    assert caught.value.errno == errno.EPERM
    assert (ram.pool.mode, ram.pool.status().held_root) == (PoolMode.READ_ONLY, None)


def test_a_second_metadata_snapshot_is_ebusy_where_its_first_commit_fails() -> None:
    ram = RamPool()
    ram.message("reserve_metadata_snap")
    ram.metadata.fails = {"write"}
    with pytest.raises(DeviceMapperError) as caught:
        ram.message("reserve_metadata_snap")
    assert caught.value.errno == errno.EBUSY


def test_metadata_that_could_not_be_read_again_takes_no_other_table() -> None:
    ram = RamPool()
    ram.metadata.fails = {"read"}
    ram.pool.transaction.abort()
    assert ram.pool.mode is PoolMode.FAIL
    with pytest.raises(DeviceMapperError) as caught:
        ram.pool.watch_metadata()
    assert caught.value.errno == errno.EINVAL
