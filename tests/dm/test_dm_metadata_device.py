"""Saving and loading images: alternating slots, and a crash at every write."""

import errno

import pytest
from faulty_block_device import FaultyBlockDevice
from thinsim.thin.metadata.image import MetadataDamagedError, encode
from thinsim.thin.state import PoolState

from thinsim.dm.metadata_device import MetadataDevice
from thinsim.errors import KernelError
from thinsim.units import Sectors

SIZE = 1 << 20


def image(transaction_id: int, leaked: int = 0) -> bytes:
    blocks = list(range(leaked))
    return encode(PoolState(Sectors(128), 1 << 20, transaction_id, leaked=blocks))


def loaded(device: FaultyBlockDevice) -> int | None:
    state = MetadataDevice(device).load()
    return None if state is None else state.transaction_id


def test_a_fresh_device_has_nothing() -> None:
    device = FaultyBlockDevice(SIZE)
    assert loaded(device) is None
    assert MetadataDevice(device).blocks == 256


def test_the_last_of_many_saves_is_loaded_also_by_a_new_object() -> None:
    device = FaultyBlockDevice(SIZE)
    metadata = MetadataDevice(device)
    for number in range(1, 8):
        metadata.save(image(number, leaked=number * 3000))
        assert loaded(device) == number
        metadata = MetadataDevice(device)
        metadata.load()


def test_a_save_ends_with_its_header_between_two_flushes() -> None:
    device = FaultyBlockDevice(SIZE)
    MetadataDevice(device).save(image(1, leaked=20000))
    assert [entry[0] for entry in device.log][-3:] == ["flush", "write", "flush"]
    assert all(int(str(entry[2])) % 512 == 0 for entry in device.log if entry[0] == "write")


def test_a_save_torn_anywhere_leaves_the_image_before() -> None:
    whole = FaultyBlockDevice(SIZE)
    saved = MetadataDevice(whole)
    saved.save(image(1, leaked=30000))
    saved.save(image(2, leaked=20000))
    start = bytes(whole.content)
    whole.log.clear()
    saved.save(image(3, leaked=20000))
    written = sum(int(str(entry[2])) for entry in whole.log if entry[0] == "write")
    # A device writes whole sectors: every prefix of the save, sector by sector.
    for prefix in range(0, written + 1, 512):
        torn = FaultyBlockDevice(SIZE)
        torn.content[:] = start
        metadata = MetadataDevice(torn)
        metadata.load()
        torn.crash_after = prefix
        metadata.save(image(3, leaked=20000))
        torn.crash_after = None
        assert loaded(torn) == (3 if prefix == written else 2), f"after {prefix} of {written} bytes"


@pytest.mark.parametrize("failing", ["write", "flush"])
def test_a_failed_save_leaves_the_image_before_and_can_be_tried_again(failing: str) -> None:
    device = FaultyBlockDevice(SIZE)
    metadata = MetadataDevice(device)
    metadata.save(image(1))
    device.fails = {failing}
    with pytest.raises(OSError, match="Input/output"):
        metadata.save(image(2))
    device.fails = set()
    assert loaded(device) == 1
    metadata.save(image(3))
    assert loaded(device) == 3


def test_an_image_too_large_is_enospc_and_writes_nothing() -> None:
    device = FaultyBlockDevice(140 * 1024)
    metadata = MetadataDevice(device)
    metadata.save(image(1))
    device.log.clear()
    with pytest.raises(KernelError, match="no room") as caught:
        metadata.save(image(2, leaked=20000))
    assert caught.value.errno == errno.ENOSPC
    assert device.log == []
    assert loaded(device) == 1


def test_foreign_content_is_refused_and_left_alone() -> None:
    device = FaultyBlockDevice(SIZE)
    device.content[:8] = b"LUKS\xba\xbe\0\1"
    before = bytes(device.content)
    with pytest.raises(MetadataDamagedError, match="magic"):
        MetadataDevice(device).load()
    assert device.content == before


def test_a_damaged_image_is_refused() -> None:
    device = FaultyBlockDevice(SIZE)
    MetadataDevice(device).save(image(1, leaked=1000))
    offset = next(int(str(entry[1])) for entry in device.log if entry[0] == "write")
    device.content[offset + 100] ^= 1
    with pytest.raises(MetadataDamagedError, match="damaged"):
        MetadataDevice(device).load()
