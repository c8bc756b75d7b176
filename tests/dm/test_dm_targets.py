"""Tables have several targets, devices form stacks, and load, resume and clear change both."""

import errno
import os

import pytest
import trio

from tests.dm.mappers_under_test import (
    BLOCK,
    POOL,
    POOL_BLOCKS,
    EmulatedMapper,
    MapperUnderTest,
    failing,
    make_pool,
    make_thin,
    pool_table,
    refused,
    thin_table,
)
from thinsim.dm.names import device_number

CHUNK = 16  # sectors
MIB = 1 << 20


async def test_a_table_of_slices_puts_each_byte_into_its_slice(mapper: MapperUnderTest) -> None:
    # The halves of the data device in the other order, with zeros and errors behind them.
    await mapper.dm.create(
        "slices",
        f"0 2048 linear {mapper.data_dev} 2048\n2048 2048 linear {mapper.data_dev} 0\n"
        "4096 8 zero\n4104 8 error",
    )
    await mapper.dm.create("whole", f"0 4096 linear {mapper.data_dev} 0")
    content = os.urandom(2 * MIB)
    await mapper.write("slices", 0, content[: MIB - 4096])
    await mapper.write("slices", MIB - 4096, content[MIB - 4096 :])  # across the border
    assert await mapper.read("slices", 0, 2 * MIB) == content
    assert await mapper.read("whole", 0, 2 * MIB) == content[MIB:] + content[:MIB]
    await mapper.write("slices", 4096 * 512, b"x" * 4096)
    assert await mapper.read("slices", 4096 * 512, 4096) == bytes(4096)
    with failing(errno.EIO):
        await mapper.read("slices", 4104 * 512, 4096)
    with failing(errno.EIO):
        await mapper.write("slices", 4104 * 512, b"x" * 4096)
    assert (await mapper.dm.info("slices")).target_count == 4
    await mapper.dm.remove("slices")
    await mapper.dm.remove("whole")


@pytest.mark.rig
async def test_a_table_may_name_a_device_by_its_number(emulated: EmulatedMapper) -> None:
    number = device_number(emulated.data_dev)
    await emulated.dm.create("by-number", f"0 8 linear {number} 8")
    await emulated.dm.create("by-path", f"0 16 linear {emulated.data_dev} 0")
    await emulated.write("by-number", 0, b"n" * 4096)
    assert await emulated.read("by-path", 4096, 4096) == b"n" * 4096
    assert await emulated.dm.table("by-number") == f"0 8 linear {number} 8"
    with refused(errno.ENXIO, "device 99:1 does not exist"):
        await emulated.dm.create("nothing", "0 8 linear 99:1 0")
    await emulated.dm.remove("by-number")
    await emulated.dm.remove("by-path")


async def test_stripes_take_turns_chunk_by_chunk(mapper: MapperUnderTest) -> None:
    places = [(0, mapper.data_dev), (8192, mapper.data_dev), (16384, mapper.data_dev)]
    words = " ".join(f"{device} {start}" for start, device in places)
    await mapper.dm.create("stripes", f"0 {3 * 2048} striped 3 {CHUNK} {words}")
    content = os.urandom(3 * MIB)
    await mapper.write("stripes", 0, content)
    assert await mapper.read("stripes", 0, 3 * MIB) == content
    size = CHUNK * 512
    for number, (start, device) in enumerate(places):
        await mapper.dm.create("leg", f"0 2048 linear {device} {start}")
        chunks = [content[place : place + size] for place in range(number * size, len(content), 3 * size)]
        assert await mapper.read("leg", 0, MIB) == b"".join(chunks)
        await mapper.dm.remove("leg")
    text = f"3 {CHUNK} "
    assert (await mapper.dm.table("stripes")).startswith(f"0 {3 * 2048} striped {text}")
    assert (await mapper.dm.status("stripes")).endswith(" 1 AAA")
    await mapper.discard("stripes", size, 5 * size)
    expected = content[:size] + bytes(5 * size) + content[6 * size :]
    assert await mapper.read("stripes", 0, 3 * MIB) == expected
    await mapper.dm.remove("stripes")


async def test_a_pool_on_slices_reads_its_blocks_through_them(mapper: MapperUnderTest) -> None:
    half = POOL_BLOCKS * BLOCK // 512 // 2
    await mapper.dm.create(
        "joined", f"0 {half} linear {mapper.data_dev} {half}\n{half} {half} linear {mapper.data_dev} 0"
    )
    table = pool_table(mapper, "0 1 skip_block_zeroing").replace(mapper.data_dev, "/dev/mapper/joined")
    await mapper.dm.create(POOL, table)
    await make_thin(mapper, "thin", 1)
    content = os.urandom(4 * BLOCK)
    await mapper.write("thin", 0, content)
    assert await mapper.read("thin", 0, 4 * BLOCK) == content
    with refused(errno.EBUSY):
        await mapper.dm.remove("joined")
    assert (await mapper.dm.info("joined")).open_count == 1
    await mapper.discard("thin", BLOCK, 2 * BLOCK)
    assert (
        await mapper.read("thin", 0, 4 * BLOCK) == content[:BLOCK] + bytes(2 * BLOCK) + content[3 * BLOCK :]
    )
    await mapper.dm.remove("thin")
    assert await mapper.check(POOL) == []
    await mapper.dm.remove(POOL)
    await mapper.dm.remove("joined")


async def test_a_loaded_table_is_live_after_the_resume_only(mapper: MapperUnderTest) -> None:
    await mapper.dm.create("device", "0 64 zero")
    await mapper.dm.load("device", "0 64 error")
    info = await mapper.dm.info("device")
    assert (info.live_table, info.inactive_table) == (True, True)
    assert await mapper.dm.table("device") == "0 64 zero "
    assert await mapper.read("device", 0, 4096) == bytes(4096)
    await mapper.dm.resume("device")
    assert await mapper.dm.table("device") == "0 64 error "
    assert not (await mapper.dm.info("device")).inactive_table
    with failing(errno.EIO):
        await mapper.read("device", 0, 4096)
    await mapper.dm.remove("device")


async def test_a_device_grows_and_shrinks_with_its_table(mapper: MapperUnderTest) -> None:
    await mapper.dm.create("device", f"0 64 linear {mapper.data_dev} 0")
    await mapper.dm.load("device", f"0 128 linear {mapper.data_dev} 0")
    await mapper.dm.resume("device")
    await mapper.write("device", 120 * 512, b"y" * 4096)
    assert await mapper.read("device", 120 * 512, 4096) == b"y" * 4096
    await mapper.dm.load("device", f"0 64 linear {mapper.data_dev} 0")
    await mapper.dm.resume("device")
    with failing(errno.ENOSPC, errno.EIO):
        await mapper.write("device", 120 * 512, b"z" * 4096)
    await mapper.dm.remove("device")


async def test_io_waits_for_a_suspended_device_and_goes_to_its_new_table(mapper: MapperUnderTest) -> None:
    await mapper.dm.create("device", f"0 64 linear {mapper.data_dev} 0")
    await mapper.dm.suspend("device")
    await mapper.dm.load("device", f"0 64 linear {mapper.data_dev} 4096")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mapper.write, "device", 0, b"n" * 4096)
        await trio.sleep(0.2)
        await mapper.dm.resume("device")
    await mapper.dm.create("place", f"0 64 linear {mapper.data_dev} 4096")
    assert await mapper.read("place", 0, 4096) == b"n" * 4096
    await mapper.dm.remove("place")
    await mapper.dm.remove("device")


async def test_a_pool_keeps_its_kind_and_takes_other_features_at_the_resume(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    with refused(errno.EINVAL, "immutable"):
        await mapper.dm.load(POOL, "0 64 zero")
    await mapper.dm.load(POOL, pool_table(mapper, "5 2 no_discard_passdown error_if_no_space"))
    assert "queue_if_no_space" in await mapper.dm.status(POOL)
    await mapper.dm.suspend(POOL)
    await mapper.dm.resume(POOL)
    status = await mapper.dm.status(POOL)
    assert "no_discard_passdown error_if_no_space" in status
    assert await mapper.check(POOL) == []


async def test_a_thin_device_on_a_suspended_pool_is_refused_and_its_id_first(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await mapper.dm.message(POOL, 0, "create_thin 1")
    await mapper.dm.suspend(POOL)
    with refused(errno.ENODATA):
        await mapper.dm.create("thin", thin_table(9))
    with refused(errno.EINVAL, "suspended"):
        await mapper.dm.create("thin", thin_table(1))
    await mapper.dm.resume(POOL)
    await mapper.dm.create("thin", thin_table(1))
    assert await mapper.dm.list() == [POOL, "thin"]


async def test_a_thin_device_lies_beside_other_targets(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await mapper.dm.message(POOL, 0, "create_thin 1")
    await mapper.dm.create("mixed", f"0 128 zero\n128 1280 thin /dev/mapper/{POOL} 1")
    await mapper.write("mixed", 64 * 512, b"m" * BLOCK)
    assert await mapper.read("mixed", 0, BLOCK) == bytes(BLOCK)
    assert await mapper.read("mixed", BLOCK, BLOCK) == b"m" * (BLOCK // 2) + bytes(BLOCK // 2)
    await mapper.dm.remove("mixed")


async def test_a_read_only_device_refuses_writes(mapper: MapperUnderTest) -> None:
    await mapper.dm.create("device", f"0 64 linear {mapper.data_dev} 0", readonly=True)
    assert (await mapper.dm.info("device")).read_only
    with failing(errno.EPERM):
        await mapper.write("device", 0, b"w" * 4096)
    assert len(await mapper.read("device", 0, 4096)) == 4096
    with refused(errno.EINVAL, "read-only table"):
        await mapper.dm.create(POOL, pool_table(mapper), readonly=True)
    await mapper.dm.remove("device")


async def test_a_deferred_removal_waits_for_the_device_above(mapper: MapperUnderTest) -> None:
    await mapper.dm.create("lower", "0 64 zero")
    await mapper.dm.create("upper", "0 64 linear /dev/mapper/lower 0")
    await mapper.dm.remove("lower", deferred=True)
    assert (await mapper.dm.info("lower")).deferred_remove
    assert await mapper.read("upper", 0, 4096) == bytes(4096)
    await mapper.dm.remove("upper")
    with trio.fail_after(60):
        while await mapper.dm.list():
            await trio.sleep(0.01)


async def test_a_linear_past_the_end_of_its_device_is_refused(mapper: MapperUnderTest) -> None:
    last = POOL_BLOCKS * BLOCK // 512
    with refused(errno.EINVAL, "too small for target"):
        await mapper.dm.create("device", f"0 64 linear {mapper.data_dev} {last - 63}")
    with refused(errno.ENODEV, "Device lookup failed"):
        await mapper.dm.create("device", "0 64 linear /nowhere 0")
    for table, complaint in {
        "0 64 striped 0 8 a 0": "Invalid stripe count",
        "0 64 striped 2 0 a 0 b 0": "Invalid chunk_size",
        "0 63 striped 2 8 a 0 b 0": "not divisible by number of stripes",
        "0 72 striped 2 8 a 0 b 0": "not divisible by chunk size",
        "0 64 striped 2 8 a 0": "Not enough destinations",
        "0 64 zero x": "No arguments required",
    }.items():
        with refused(errno.EINVAL, complaint):
            await mapper.dm.create("device", table)
    assert await mapper.dm.list() == []
