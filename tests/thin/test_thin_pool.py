"""A pool takes messages, opens devices, shows its status and grows."""

import errno

import pytest

from tests.thin.ram_pool import RamPool
from tests.thin.ram_store import RamStore
from thinsim.errors import DeviceMapperError
from thinsim.thin.mapping import Run
from thinsim.thin.messages import send_message
from thinsim.thin.pool import Pool
from thinsim.thin.table import PoolFeatures
from thinsim.units import Sectors

BLOCK = 4096


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", errno.EINVAL),
        ("frobnicate", errno.EINVAL),
        ("@cancel_deferred_remove", errno.EINVAL),
        ("create_thin", errno.EINVAL),
        ("create_thin 1 2", errno.EINVAL),
        ("create_thin x", errno.EINVAL),
        ("create_thin 16777216", errno.EINVAL),
        ("create_thin 1", errno.EEXIST),
        ("create_snap 2", errno.EINVAL),
        ("create_snap 1 9", errno.EEXIST),
        ("create_snap 2 9", errno.ENODATA),
        ("create_snap 1 1", errno.EEXIST),
        ("delete", errno.EINVAL),
        ("delete 9", errno.ENODATA),
        ("delete 1", errno.EBUSY),
        ("set_transaction_id 0", errno.EINVAL),
        ("set_transaction_id x 1", errno.EINVAL),
        ("set_transaction_id 5 6", errno.EINVAL),
        ("reserve_metadata_snap now", errno.EINVAL),
        ("release_metadata_snap", errno.EINVAL),
    ],
)
def test_a_message_is_refused_with_the_kernel_s_errno_and_changes_nothing(text: str, number: int) -> None:
    ram = RamPool()
    ram.thin(1)
    with pytest.raises(DeviceMapperError) as caught:
        send_message(ram.pool, text)
    assert caught.value.errno == number
    assert not ram.pool.changed


def test_messages_ignore_case() -> None:
    ram = RamPool()
    ram.message("CREATE_Thin +007")
    assert ram.pool.thin_ids() == [7]


def test_a_second_metadata_snapshot_is_ebusy() -> None:
    ram = RamPool()
    ram.message("reserve_metadata_snap")
    assert ram.pool.status().held_root is not None
    with pytest.raises(DeviceMapperError) as caught:
        ram.message("reserve_metadata_snap")
    assert caught.value.errno == errno.EBUSY
    ram.message("release_metadata_snap")
    assert ram.pool.status().held_root is None


def test_the_transaction_id_is_set_when_the_current_one_is_known() -> None:
    ram = RamPool()
    ram.message("set_transaction_id 0 18446744073709551615")
    assert ram.pool.status().transaction_id == 18446744073709551615


def test_an_unknown_device_is_enodata() -> None:
    pool = RamPool().pool
    for ask in (lambda: pool.open_thin(1, Sectors(8)), lambda: pool.mappings(1)):
        with pytest.raises(DeviceMapperError) as caught:
            ask()
        assert caught.value.errno == errno.ENODATA


def test_a_device_may_be_open_twice() -> None:
    ram = RamPool()
    first, second = ram.thin(1), ram.open(1)
    ram.pool.close_thin(first)
    with pytest.raises(DeviceMapperError) as caught:
        ram.message("delete 1")
    assert caught.value.errno == errno.EBUSY
    ram.pool.close_thin(second)
    ram.message("delete 1")
    assert ram.pool.thin_ids() == []


def test_snapshots_count_time_and_stamp_both_sides() -> None:
    ram = RamPool()
    origin = ram.thin(1)
    ram.write_blocks(origin, 0)
    ram.snap(2, 1)
    ram.write_blocks(origin, 4)
    assert ram.pool.mappings(1) == [Run(0, 0, 1, 0), Run(4, 1, 1, 1)]
    assert ram.pool.mappings(2) == [Run(0, 0, 1, 0)]
    details = [ram.pool.metadata.details(thin_id) for thin_id in ram.pool.thin_ids()]
    assert [each.snapshotted_time for each in details] == [1, 1]
    assert [each.creation_time for each in details] == [0, 1]


def test_the_status_of_a_pool_and_a_thin() -> None:
    ram = RamPool(data_blocks=1024, block_size=128)
    device = ram.thin(1, 128)
    assert device.status().text(0, 16384) == "0 16384 thin 0 -"
    ram.write(device, 1507328, b"x" * 65536)
    ram.commit()
    assert device.status().text(0, 16384) == "0 16384 thin 128 3071"
    assert ram.pool.status().text(0, 131072) == (
        "0 131072 thin-pool 0 35/256 1/1024 - rw discard_passdown queue_if_no_space - 64 "
    )


def test_total_data_is_that_of_the_last_commit_and_used_data_is_present() -> None:
    ram = RamPool()
    device = ram.thin(1)
    ram.pool.grow(60)
    ram.write_blocks(device, 0)
    status = ram.pool.status()
    assert (status.used_data, status.total_data) == (1, 48)
    ram.commit()
    assert ram.pool.status().total_data == 60


def test_a_pool_can_not_shrink() -> None:
    ram = RamPool()
    with pytest.raises(DeviceMapperError, match="too small: expected 48") as caught:
        ram.pool.grow(47)
    assert caught.value.errno == errno.EINVAL


def test_a_pool_opens_with_its_last_commit() -> None:
    store = RamStore(16384)
    pool = Pool(PoolFeatures(), Sectors(128), 16384, store)
    send_message(pool, "create_thin 7")
    again = Pool(PoolFeatures(), Sectors(128), 16384, store)
    assert again.thin_ids() == [7]
    assert not again.changed
    status = again.status()
    assert (status.total_data, status.total_metadata, status.metadata_low_watermark) == (16384, 16384, 1024)


def test_opening_and_closing_an_unchanged_pool_writes_nothing() -> None:
    ram = RamPool()
    ram.thin(1)
    before = dict(ram.metadata.content)
    ram.metadata.log = []
    ram.crash()
    ram.pool.close_thin(ram.open(1))
    ram.pool.commit()
    assert (ram.metadata.log, ram.metadata.content) == ([], before)


def test_another_block_size_is_refused() -> None:
    store = RamPool().metadata
    with pytest.raises(DeviceMapperError, match="from 8 to 128") as caught:
        Pool(PoolFeatures(), Sectors(128), 16384, store)
    assert caught.value.errno == errno.EINVAL


def test_a_read_only_pool_is_not_formatted() -> None:
    store = RamStore()
    with pytest.raises(DeviceMapperError) as caught:
        Pool(PoolFeatures(read_only=True), Sectors(8), 10, store)
    assert caught.value.errno == errno.EPERM
    assert store.content == {}
