"""A live pool takes another table, and devices that grew; each load and resume has its refusals."""

import errno
from collections.abc import AsyncIterator

import pytest
import trio

from tests.dm.memory_device import MemoryDevice
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.runner import in_place
from thinsim.errors import DeviceMapperError
from thinsim.thin.status import PoolStatus, parse_pool_status

BLOCK = 65536
SECTORS = BLOCK // 512


def table(blocks: int, rest: str = "128 0", data: str = "data", metadata: str = "metadata") -> str:
    return f"0 {blocks * SECTORS} thin-pool {metadata} {data} {rest}"


@pytest.fixture
def devices() -> dict[str, MemoryDevice]:
    names = ("data", "metadata", "data2", "metadata2")
    return {name: MemoryDevice(1 << 20 if name.startswith("m") else 8 * BLOCK) for name in names}


@pytest.fixture
async def dm(devices: dict[str, MemoryDevice]) -> AsyncIterator[LocalDeviceMapper]:
    async with LocalDeviceMapper(NoNodes(), devices.__getitem__, in_place).running() as dm:
        await dm.create("pool", table(8))
        await dm.message("pool", 0, "create_thin 1")
        await dm.create("thin", f"0 {32 * SECTORS} thin /dev/mapper/pool 1")
        yield dm
        for problem in await dm.pool("thin").check():
            pytest.fail(problem)


async def status(dm: LocalDeviceMapper) -> PoolStatus:
    return parse_pool_status(await dm.status("pool"))


async def refusal(number: int, dm: LocalDeviceMapper, line: str) -> str:
    with pytest.raises(DeviceMapperError) as caught:
        await dm.load("pool", line)
    assert caught.value.errno == number
    return str(caught.value)


async def test_a_longer_table_grows_the_pool_and_wakes_waiters(
    dm: LocalDeviceMapper, devices: dict[str, MemoryDevice]
) -> None:
    volume = dm.volume("thin")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(volume.write, 0, b"x" * (10 * BLOCK))
        assert await dm.wait("pool", 0) == 2
        assert (await status(dm)).mode == "out_of_data_space"
        devices["data"].content.extend(bytes(12 * BLOCK))
        await dm.load("pool", table(20))
        assert (await dm.info("pool")).inactive_table
        assert (await status(dm)).total_data == 8
        await dm.suspend("pool")
        await dm.resume("pool")
    assert await volume.read(0, 10 * BLOCK) == b"x" * (10 * BLOCK)
    now = await status(dm)
    assert (now.mode, now.used_data, now.total_data) == ("rw", 10, 20)
    assert not (await dm.info("pool")).inactive_table
    assert (await dm.table("pool")).startswith(f"0 {20 * SECTORS} thin-pool ")


async def test_resuming_a_live_pool_swaps_its_table(dm: LocalDeviceMapper) -> None:
    await dm.load("pool", table(8, "128 3 2 error_if_no_space no_discard_passdown"))
    await dm.resume("pool")
    now = await status(dm)
    assert (now.no_space, now.discard) == ("error_if_no_space", "no_discard_passdown")
    assert (await dm.table("pool")).endswith(" 128 3 2 no_discard_passdown error_if_no_space ")
    await dm.load("pool", table(8, "128 0 1 read_only"))
    await dm.resume("pool")
    assert (await status(dm)).mode == "ro"
    await dm.load("pool", table(8))
    await dm.resume("pool")
    assert (await status(dm)).mode == "rw"


async def test_a_grown_metadata_device_is_taken_at_the_next_resume(
    dm: LocalDeviceMapper, devices: dict[str, MemoryDevice]
) -> None:
    assert (await status(dm)).total_metadata == 256
    devices["metadata"].content.extend(bytes(1 << 20))
    assert (await status(dm)).total_metadata == 256
    await dm.suspend("pool")
    await dm.resume("pool")
    assert (await status(dm)).total_metadata == 512


async def test_a_shorter_table_leaves_the_pool_suspended(dm: LocalDeviceMapper) -> None:
    await dm.load("pool", table(7))
    with pytest.raises(DeviceMapperError, match="too small: expected 8") as caught:
        await dm.resume("pool")
    assert caught.value.errno == errno.EINVAL
    assert (await dm.info("pool")).suspended
    await dm.load("pool", table(8))
    await dm.resume("pool")
    assert not (await dm.info("pool")).suspended


async def test_a_table_longer_than_the_data_device_is_refused_at_resume(dm: LocalDeviceMapper) -> None:
    await dm.load("pool", table(9))
    with pytest.raises(DeviceMapperError, match="data is too small") as caught:
        await dm.resume("pool")
    assert caught.value.errno == errno.EINVAL
    await dm.load("pool", table(8))
    await dm.resume("pool")


async def test_the_block_size_of_a_reload_is_validated_and_ignored(dm: LocalDeviceMapper) -> None:
    await refusal(errno.EINVAL, dm, table(8, "100 0"))
    await dm.load("pool", table(8, "256 0"))
    await dm.resume("pool")
    assert (await dm.table("pool")).split()[5] == "128"


async def test_a_table_that_can_not_replace_a_pool_is_refused(
    dm: LocalDeviceMapper, devices: dict[str, MemoryDevice]
) -> None:
    assert "immutable" in await refusal(errno.EINVAL, dm, f"0 {8 * SECTORS} thin /dev/mapper/pool 1")
    assert "different pool" in await refusal(errno.EINVAL, dm, table(8, metadata="metadata2"))
    assert "data device already in use" in await refusal(errno.EBUSY, dm, table(8, data="data2"))
    assert "Discard support" in await refusal(errno.EINVAL, dm, table(8, "128 0 1 ignore_discard"))
    for name in ("data2", "metadata2"):
        devices[name] = MemoryDevice(devices[name].size)  # the refused load has closed the previous device
    await dm.create("other", table(8, data="data2", metadata="metadata2"))
    assert "metadata device already" in await refusal(errno.EBUSY, dm, table(8, metadata="metadata2"))
    assert not (await dm.info("pool")).inactive_table


async def test_a_new_name_is_an_event(dm: LocalDeviceMapper) -> None:
    before = (await dm.info("pool")).event_nr
    await dm.rename(dm.devices.find("pool"), "pond")
    assert (await dm.info("pond")).event_nr == before + 1
    await dm.rename(dm.devices.find("pond"), "pool")


async def test_a_table_is_dropped_if_its_data_device_is_too_small(dm: LocalDeviceMapper) -> None:
    await dm.load("pool", table(9))
    with pytest.raises(DeviceMapperError) as caught:
        await dm.resume("pool")
    assert caught.value.errno == errno.EINVAL
    info = await dm.info("pool")
    assert (info.suspended, info.inactive_table) == (True, False)
    assert (await dm.table("pool")).startswith(f"0 {8 * SECTORS} ")
    await dm.resume("pool")


async def test_a_suspend_without_flush_requeues_held_writes(
    dm: LocalDeviceMapper, devices: dict[str, MemoryDevice]
) -> None:
    volume = dm.volume("thin")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.write, 0, b"x" * (10 * BLOCK))
            await dm.wait("pool", 0)
            nursery.start_soon(volume.write, 16 * BLOCK, b"y" * BLOCK)
            await dm.suspend("thin", noflush=True)
            devices["data"].content.extend(bytes(12 * BLOCK))
            await dm.load("pool", table(20))
            await dm.resume("pool")
            assert (await status(dm)).used_data == 8
            await dm.resume("thin")
    assert await volume.read(0, 10 * BLOCK) == b"x" * (10 * BLOCK)
    assert await volume.read(16 * BLOCK, BLOCK) == b"y" * BLOCK


async def test_a_resume_without_a_new_table_keeps_a_read_only_pool_read_only(dm: LocalDeviceMapper) -> None:
    await dm.load("pool", table(8, "128 0 1 read_only"))
    for _ in range(2):
        await dm.resume("pool")
        await dm.suspend("pool")
    await dm.resume("pool")
    assert (await status(dm)).mode == "ro"
    assert (await dm.info("pool")).event_nr == 1
    await dm.load("pool", table(8))
    await dm.resume("pool")
