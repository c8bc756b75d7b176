"""Tables of several targets, stacks of devices, and what a load, a resume and a clear do to them."""

import errno
import os

import pytest
import trio

from tests.dm.device_mapper_benches import (
    BLOCK,
    POOL,
    POOL_BLOCKS,
    Bench,
    EmulatedBench,
    failing,
    make_pool,
    make_thin,
    pool_table,
    refused,
    thin_table,
)
from thinsim.dm.emulator.nodes import device_number

CHUNK = 16  # sectors
MIB = 1 << 20


async def test_a_table_of_slices_puts_each_byte_where_the_table_says(bench: Bench) -> None:
    # The halves of the data device in the other order, with zeros and errors behind them.
    await bench.dm.create(
        "slices",
        f"0 2048 linear {bench.data_dev} 2048\n2048 2048 linear {bench.data_dev} 0\n"
        "4096 8 zero\n4104 8 error",
    )
    await bench.dm.create("whole", f"0 4096 linear {bench.data_dev} 0")
    content = os.urandom(2 * MIB)
    await bench.write("slices", 0, content[: MIB - 4096])
    await bench.write("slices", MIB - 4096, content[MIB - 4096 :])  # across the border
    assert await bench.read("slices", 0, 2 * MIB) == content
    assert await bench.read("whole", 0, 2 * MIB) == content[MIB:] + content[:MIB]
    await bench.write("slices", 4096 * 512, b"x" * 4096)
    assert await bench.read("slices", 4096 * 512, 4096) == bytes(4096)
    with failing(errno.EIO):
        await bench.read("slices", 4104 * 512, 4096)
    with failing(errno.EIO):
        await bench.write("slices", 4104 * 512, b"x" * 4096)
    assert (await bench.dm.info("slices")).target_count == 4
    await bench.dm.remove("slices")
    await bench.dm.remove("whole")


@pytest.mark.rig
async def test_a_table_may_name_a_device_by_its_number(emulated: EmulatedBench) -> None:
    number = device_number(emulated.data_dev)
    await emulated.dm.create("by-number", f"0 8 linear {number} 8")
    await emulated.dm.create("by-path", f"0 16 linear {emulated.data_dev} 0")
    await emulated.write("by-number", 0, b"n" * 4096)
    assert await emulated.read("by-path", 4096, 4096) == b"n" * 4096
    assert await emulated.dm.table("by-number") == f"0 8 linear {number} 8"
    with refused(errno.ENXIO, "no device 99:1"):
        await emulated.dm.create("nothing", "0 8 linear 99:1 0")
    await emulated.dm.remove("by-number")
    await emulated.dm.remove("by-path")


async def test_stripes_take_turns_chunk_by_chunk(bench: Bench) -> None:
    places = [(0, bench.data_dev), (8192, bench.data_dev), (16384, bench.data_dev)]
    words = " ".join(f"{device} {start}" for start, device in places)
    await bench.dm.create("stripes", f"0 {3 * 2048} striped 3 {CHUNK} {words}")
    content = os.urandom(3 * MIB)
    await bench.write("stripes", 0, content)
    assert await bench.read("stripes", 0, 3 * MIB) == content
    size = CHUNK * 512
    for number, (start, device) in enumerate(places):
        await bench.dm.create("leg", f"0 2048 linear {device} {start}")
        chunks = [content[place : place + size] for place in range(number * size, len(content), 3 * size)]
        assert await bench.read("leg", 0, MIB) == b"".join(chunks)
        await bench.dm.remove("leg")
    text = f"3 {CHUNK} "
    assert (await bench.dm.table("stripes")).startswith(f"0 {3 * 2048} striped {text}")
    assert (await bench.dm.status("stripes")).endswith(" 1 AAA")
    await bench.discard("stripes", size, 5 * size)
    expected = content[:size] + bytes(5 * size) + content[6 * size :]
    assert await bench.read("stripes", 0, 3 * MIB) == expected
    await bench.dm.remove("stripes")


async def test_a_pool_stands_on_slices_and_its_blocks_come_back_through_them(bench: Bench) -> None:
    half = POOL_BLOCKS * BLOCK // 512 // 2
    await bench.dm.create(
        "joined", f"0 {half} linear {bench.data_dev} {half}\n{half} {half} linear {bench.data_dev} 0"
    )
    table = pool_table(bench, "0 1 skip_block_zeroing").replace(bench.data_dev, "/dev/mapper/joined")
    await bench.dm.create(POOL, table)
    await make_thin(bench, "thin", 1)
    content = os.urandom(4 * BLOCK)
    await bench.write("thin", 0, content)
    assert await bench.read("thin", 0, 4 * BLOCK) == content
    with refused(errno.EBUSY):
        await bench.dm.remove("joined")
    assert (await bench.dm.info("joined")).open_count == 1
    await bench.discard("thin", BLOCK, 2 * BLOCK)
    assert await bench.read("thin", 0, 4 * BLOCK) == content[:BLOCK] + bytes(2 * BLOCK) + content[3 * BLOCK :]
    await bench.dm.remove("thin")
    assert await bench.check(POOL) == []
    await bench.dm.remove(POOL)
    await bench.dm.remove("joined")


async def test_a_loaded_table_is_live_after_the_resume_only(bench: Bench) -> None:
    await bench.dm.create("device", "0 64 zero")
    await bench.dm.load("device", "0 64 error")
    info = await bench.dm.info("device")
    assert (info.live_table, info.inactive_table) == (True, True)
    assert await bench.dm.table("device") == "0 64 zero "
    assert await bench.read("device", 0, 4096) == bytes(4096)
    await bench.dm.resume("device")
    assert await bench.dm.table("device") == "0 64 error "
    assert not (await bench.dm.info("device")).inactive_table
    with failing(errno.EIO):
        await bench.read("device", 0, 4096)
    await bench.dm.remove("device")


async def test_a_device_grows_and_shrinks_with_its_table(bench: Bench) -> None:
    await bench.dm.create("device", f"0 64 linear {bench.data_dev} 0")
    await bench.dm.load("device", f"0 128 linear {bench.data_dev} 0")
    await bench.dm.resume("device")
    await bench.write("device", 120 * 512, b"y" * 4096)
    assert await bench.read("device", 120 * 512, 4096) == b"y" * 4096
    await bench.dm.load("device", f"0 64 linear {bench.data_dev} 0")
    await bench.dm.resume("device")
    with failing(errno.ENOSPC, errno.EIO):
        await bench.write("device", 120 * 512, b"z" * 4096)
    await bench.dm.remove("device")


async def test_io_waits_for_a_suspended_device_and_goes_to_its_new_table(bench: Bench) -> None:
    await bench.dm.create("device", f"0 64 linear {bench.data_dev} 0")
    await bench.dm.suspend("device")
    await bench.dm.load("device", f"0 64 linear {bench.data_dev} 4096")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.write, "device", 0, b"n" * 4096)
        await trio.sleep(0.2)
        await bench.dm.resume("device")
    await bench.dm.create("place", f"0 64 linear {bench.data_dev} 4096")
    assert await bench.read("place", 0, 4096) == b"n" * 4096
    await bench.dm.remove("place")
    await bench.dm.remove("device")


async def test_a_pool_keeps_its_kind_and_takes_other_features_at_the_resume(bench: Bench) -> None:
    await make_pool(bench)
    with refused(errno.EINVAL, "immutable"):
        await bench.dm.load(POOL, "0 64 zero")
    await bench.dm.load(POOL, pool_table(bench, "5 2 no_discard_passdown error_if_no_space"))
    assert "queue_if_no_space" in await bench.dm.status(POOL)
    await bench.dm.suspend(POOL)
    await bench.dm.resume(POOL)
    status = await bench.dm.status(POOL)
    assert "no_discard_passdown error_if_no_space" in status
    assert await bench.check(POOL) == []


async def test_a_thin_device_on_a_suspended_pool_is_refused_and_its_id_first(bench: Bench) -> None:
    await make_pool(bench)
    await bench.dm.message(POOL, 0, "create_thin 1")
    await bench.dm.suspend(POOL)
    with refused(errno.ENODATA):
        await bench.dm.create("thin", thin_table(9))
    with refused(errno.EINVAL, "suspended"):
        await bench.dm.create("thin", thin_table(1))
    await bench.dm.resume(POOL)
    await bench.dm.create("thin", thin_table(1))
    assert await bench.dm.list() == [POOL, "thin"]


async def test_a_thin_device_lies_beside_other_targets(bench: Bench) -> None:
    await make_pool(bench)
    await bench.dm.message(POOL, 0, "create_thin 1")
    await bench.dm.create("mixed", f"0 128 zero\n128 1280 thin /dev/mapper/{POOL} 1")
    await bench.write("mixed", 64 * 512, b"m" * BLOCK)
    assert await bench.read("mixed", 0, BLOCK) == bytes(BLOCK)
    assert await bench.read("mixed", BLOCK, BLOCK) == b"m" * (BLOCK // 2) + bytes(BLOCK // 2)
    await bench.dm.remove("mixed")


async def test_a_read_only_device_refuses_writes(bench: Bench) -> None:
    await bench.dm.create("device", f"0 64 linear {bench.data_dev} 0", readonly=True)
    assert (await bench.dm.info("device")).read_only
    with failing(errno.EPERM):
        await bench.write("device", 0, b"w" * 4096)
    assert len(await bench.read("device", 0, 4096)) == 4096
    with refused(errno.EINVAL, "read-only table"):
        await bench.dm.create(POOL, pool_table(bench), readonly=True)
    await bench.dm.remove("device")


async def test_a_deferred_removal_waits_for_the_device_above(bench: Bench) -> None:
    await bench.dm.create("lower", "0 64 zero")
    await bench.dm.create("upper", "0 64 linear /dev/mapper/lower 0")
    await bench.dm.remove("lower", deferred=True)
    assert (await bench.dm.info("lower")).deferred_remove
    assert await bench.read("upper", 0, 4096) == bytes(4096)
    await bench.dm.remove("upper")
    with trio.fail_after(60):
        while await bench.dm.list():
            await trio.sleep(0.01)


async def test_a_linear_past_the_end_of_its_device_is_refused(bench: Bench) -> None:
    last = POOL_BLOCKS * BLOCK // 512
    with refused(errno.EINVAL, "too small for target"):
        await bench.dm.create("device", f"0 64 linear {bench.data_dev} {last - 63}")
    with refused(errno.ENODEV, "Device lookup failed"):
        await bench.dm.create("device", "0 64 linear /nowhere 0")
    for table, complaint in {
        "0 64 striped 0 8 a 0": "Invalid stripe count",
        "0 64 striped 2 0 a 0 b 0": "Invalid chunk_size",
        "0 63 striped 2 8 a 0 b 0": "not divisible by number of stripes",
        "0 72 striped 2 8 a 0 b 0": "not divisible by chunk size",
        "0 64 striped 2 8 a 0": "Not enough destinations",
        "0 64 zero x": "No arguments required",
    }.items():
        with refused(errno.EINVAL, complaint):
            await bench.dm.create("device", table)
    assert await bench.dm.list() == []
