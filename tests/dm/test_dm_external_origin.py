"""Thin devices read from an external origin, in process."""

import errno
from collections.abc import AsyncIterator

import pytest
import trio

from tests.dm.memory_device import MemoryDevice
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.runner import on_thread
from thinsim.errors import DeviceMapperError

BLOCK = 65536


@pytest.fixture
def devices() -> dict[str, MemoryDevice]:
    sizes = {"data": 32 * BLOCK, "metadata": 1 << 20, "golden": 3 * BLOCK + 512}
    devices = {name: MemoryDevice(size) for name, size in sizes.items()}
    devices["golden"].content[:] = bytes(range(256)) * (len(devices["golden"].content) // 256)
    return devices


@pytest.fixture
async def dm(devices: dict[str, MemoryDevice]) -> AsyncIterator[LocalDeviceMapper]:
    def open_block(path: str) -> MemoryDevice:
        try:
            return devices[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such device", path) from None

    async with LocalDeviceMapper(NoNodes(), open_block, on_thread).running() as dm:
        await dm.create("pool", f"0 {32 * 128} thin-pool metadata data 128 0")
        await dm.message("pool", 0, "create_thin 1")
        yield dm
        assert await dm.pool("pool").check() == []
    assert devices["golden"].closed <= 1


async def test_reads_come_from_the_origin_until_a_block_is_written(
    dm: LocalDeviceMapper, devices: dict[str, MemoryDevice]
) -> None:
    golden = bytes(devices["golden"].content)
    await dm.create("thin", f"0 {8 * 128} thin /dev/mapper/pool 1 golden")
    volume = dm.volume("thin")
    assert await volume.read(0, 8 * BLOCK) == golden.ljust(8 * BLOCK, b"\0")
    await volume.write(BLOCK, b"x" * 512)
    await volume.write(3 * BLOCK + 512, b"y" * 512)
    expected = bytearray(golden.ljust(8 * BLOCK, b"\0"))
    expected[BLOCK : BLOCK + 512] = b"x" * 512
    expected[3 * BLOCK + 512 : 3 * BLOCK + 1024] = b"y" * 512
    assert await volume.read(0, 8 * BLOCK) == expected
    assert devices["golden"].content == golden
    assert {entry[0] for entry in devices["golden"].log} == {"read"}
    assert (await dm.table("thin")).endswith(" thin 253:0 1 0:0")
    await dm.remove("thin")
    assert devices["golden"].closed == 1


async def test_an_origin_that_fails_is_eio_and_leaves_the_block_unmapped(
    dm: LocalDeviceMapper, devices: dict[str, MemoryDevice]
) -> None:
    await dm.create("thin", f"0 {8 * 128} thin /dev/mapper/pool 1 golden")
    volume = dm.volume("thin")
    await volume.write(0, b"x" * BLOCK)
    devices["golden"].fails = {"read"}
    with pytest.raises(DeviceMapperError) as caught:
        await volume.read(BLOCK, 512)
    assert caught.value.errno == errno.EIO
    assert await volume.read(0, BLOCK) == b"x" * BLOCK
    devices["golden"].fails = set()
    assert await volume.read(BLOCK, 512) == bytes(range(256)) * 2


async def test_an_impossible_origin_is_refused(dm: LocalDeviceMapper) -> None:
    await dm.message("pool", 0, "create_thin 2")
    await dm.create("thin", f"0 {8 * 128} thin /dev/mapper/pool 1")
    for origin, number in (
        ("nowhere", errno.ENODEV),
        ("/dev/mapper/pool", errno.EINVAL),
    ):
        with pytest.raises(DeviceMapperError) as caught:
            await dm.create("other", f"0 {8 * 128} thin /dev/mapper/pool 2 {origin}")
        assert caught.value.errno == number
    assert await dm.list() == ["pool", "thin"]
    await dm.message("pool", 0, "delete 2")


async def test_a_thin_device_of_the_same_pool_can_be_the_origin(dm: LocalDeviceMapper) -> None:
    await dm.message("pool", 0, "create_thin 2")
    await dm.create("thin", f"0 {8 * 128} thin /dev/mapper/pool 1")
    content = bytes(range(256)) * (8 * BLOCK // 256)
    await dm.volume("thin").write(0, content)
    await dm.create("other", f"0 {8 * 128} thin /dev/mapper/pool 2 /dev/mapper/thin")
    other = dm.volume("other")
    assert await other.read(0, 8 * BLOCK) == content
    expected = bytearray(content)

    async def write(offset: int, piece: bytes) -> None:
        await other.write(offset, piece)
        expected[offset : offset + len(piece)] = piece

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for block in range(6):
                nursery.start_soon(write, block * BLOCK + 512, b"x" * BLOCK)
                nursery.start_soon(other.read, 0, 8 * BLOCK)
                nursery.start_soon(dm.volume("thin").write, block * BLOCK, content[:BLOCK])
            nursery.start_soon(dm.suspend, "pool")
            await trio.sleep(0.01)
            await dm.resume("pool")
        assert await other.read(0, 8 * BLOCK) == expected
    assert await dm.volume("thin").read(0, 8 * BLOCK) == content
