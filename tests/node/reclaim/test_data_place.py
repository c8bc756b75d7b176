"""The data of a pool is freed by discards of its device, or by punches of the file below it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuse_backing.allocation import allocated_bytes
from tests.node.reclaim.loop_partition import needs_partitions, partition_of
from thinsim.block import loop, loop_numbers
from thinsim.errors import EnvironmentLacksError
from thinsim.node.reclaim.data_place import place_of_device, place_of_image

pytestmark = [pytest.mark.extents, pytest.mark.rig]

SIZE = 1 << 20
BLOCK = 65536
OFFSET = 8192
NUMBER = 3100
"""A loop device of this test alone: a limit that was set by hand outlives the file."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(os.urandom(SIZE + OFFSET))
    return path


@pytest.fixture
def device(file: Path) -> Iterator[loop.LoopDevice]:
    attached = loop.attach(file, number=NUMBER, offset=OFFSET)
    try:
        yield attached
    finally:
        loop.detach(attached)
        loop_numbers.remove(NUMBER)


def held(file: Path) -> int:
    with file.open("rb") as opened:
        return allocated_bytes(opened.fileno(), 0, SIZE + OFFSET)


@pytest.mark.parametrize("refuses", [False, True], ids=["discards", "punches"])
async def test_a_range_is_freed_at_the_offset_of_the_device(
    file: Path, device: loop.LoopDevice, refuses: bool
) -> None:
    if refuses:
        Path("/sys/block", device.path.name, "queue/discard_max_bytes").write_text("0")
    content = file.read_bytes()
    place = await place_of_device(device.path, SIZE, BLOCK)
    try:
        assert place.freer.words == (f"hole punches of {file}" if refuses else f"discards of {device.path}")
        assert place.allocated() == [(0, SIZE)]
        place.freer.punch(2 * BLOCK, BLOCK)
        assert place.allocated() == [(0, 2 * BLOCK), (3 * BLOCK, SIZE)]
    finally:
        place.close()
    begin = OFFSET + 2 * BLOCK
    assert file.read_bytes() == content[:begin] + bytes(BLOCK) + content[begin + BLOCK :]
    assert held(file) == SIZE + OFFSET - BLOCK


async def test_a_file_that_cannot_be_found_leaves_the_discards(file: Path, device: loop.LoopDevice) -> None:
    file.unlink()
    place = await place_of_device(device.path, SIZE, BLOCK)
    try:
        assert (place.file, place.allocated(), place.held()) == (None, None, None)
        assert str(file) in place.unmapped
    finally:
        place.close()


async def test_a_device_without_discards_and_without_a_file_is_refused(
    file: Path, device: loop.LoopDevice
) -> None:
    file.unlink()
    Path("/sys/block", device.path.name, "queue/discard_max_bytes").write_text("0")
    with pytest.raises(EnvironmentLacksError, match=f"{device.path} takes no discards"):
        await place_of_device(device.path, SIZE, BLOCK)


async def test_an_image_has_no_offset(file: Path) -> None:
    place = await place_of_image(file, SIZE)
    try:
        place.freer.punch(0, BLOCK)
        assert place.allocated() == [(BLOCK, SIZE)]
    finally:
        place.close()


@needs_partitions
async def test_a_partition_of_a_loop_device_has_the_map_of_its_file(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(os.urandom(4 << 20))
    with partition_of(disk, first=1 << 20, length=2 << 20) as partition:
        place = await place_of_device(partition, 2 << 20, BLOCK)
        try:
            assert place.freer.words == f"discards of {partition}"
            assert place.allocated() == [(0, 2 << 20)]
            assert place.held() == 2 << 20
            place.freer.punch(BLOCK, BLOCK)
            assert place.allocated() == [(0, BLOCK), (2 * BLOCK, 2 << 20)]
            assert place.held() == (2 << 20) - BLOCK
        finally:
            place.close()
        with partition.open("rb") as opened:
            opened.seek(BLOCK)
            assert opened.read(BLOCK) == bytes(BLOCK)
    with disk.open("rb") as opened:
        assert allocated_bytes(opened.fileno(), 0, 4 << 20) == (4 << 20) - BLOCK
