"""Thin devices hold the right bytes on every implementation: snapshots, discards, space, suspension."""

import errno
import os
import random
from contextlib import nullcontext
from pathlib import Path

import pytest
import trio

from tests.dm.device_oracle import Oracle
from tests.dm.mappers_under_test import (
    BLOCK,
    METADATA_SIZE,
    POOL,
    MapperUnderTest,
    failing,
    make_pool,
    make_thin,
    pool_table,
    snap,
    thin_table,
)
from thinsim.errors import DeviceMapperError
from thinsim.thin.status import parse_pool_status, parse_thin_status


@pytest.mark.parametrize("features", ["0 0", "0 1 skip_block_zeroing", "0 1 no_discard_passdown"])
async def test_every_byte_is_what_was_written_through_snapshots_and_discards(
    mapper: MapperUnderTest, features: str
) -> None:
    await make_pool(mapper, features)
    oracle = Oracle(mapper, seed=7)
    chance = random.Random(7)
    blocks = 24
    await make_thin(mapper, "thin-0", 0, blocks)
    oracle.add("thin-0", blocks)
    # Each block is written whole: with skip_block_zeroing the rest of a block is undefined.
    await oracle.write("thin-0", 0, blocks * BLOCK)
    for number in range(1, 5):
        for _ in range(12):
            name = chance.choice(sorted(oracle.contents))
            if chance.random() < 0.7:
                await oracle.write_somewhere(name)
            elif features != "0 1 skip_block_zeroing":
                await oracle.discard_somewhere(name)
        origin = chance.randrange(number)
        await snap(mapper, f"thin-{number}", number, f"thin-{origin}", origin, blocks)
        oracle.fork(f"thin-{number}", f"thin-{origin}")
        await oracle.verify()
        assert list(await mapper.check(POOL)) == []


async def test_a_pool_created_again_has_the_same_thin_devices_and_contents(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    oracle = Oracle(mapper)
    await make_thin(mapper, "thin", 1)
    oracle.add("thin", 32)
    await oracle.write("thin", 3 * 512, 5 * BLOCK)
    await snap(mapper, "snap", 2, "thin", 1)
    oracle.fork("snap", "thin")
    await oracle.write("snap", BLOCK, 2 * BLOCK)
    await oracle.discard("thin", 0, 2 * BLOCK)
    await mapper.dm.message(POOL, 0, "set_transaction_id 0 9")
    before = {name: await mapper.dm.status(name) for name in await mapper.dm.list()}
    for name in ("thin", "snap", POOL):
        await mapper.dm.remove(name)
    await make_pool(mapper)
    await mapper.dm.create("thin", thin_table(1))
    await mapper.dm.create("snap", thin_table(2))
    after = {name: await mapper.dm.status(name) for name in await mapper.dm.list()}
    assert after == before
    await oracle.verify()


async def test_blocks_are_zeroed_around_a_small_write(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "old", 1)
    await mapper.write("old", 0, b"o" * (8 * BLOCK))
    await mapper.dm.remove("old")
    await mapper.dm.message(POOL, 0, "delete 1")
    oracle = Oracle(mapper)
    await make_thin(mapper, "new", 2, 1100)
    oracle.add("new", 4)
    for block in range(4):
        await oracle.write("new", block * BLOCK + 512, 512)
    await oracle.verify()


async def test_requests_may_be_as_long_as_three_mebibytes(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1, 64)
    oracle = Oracle(mapper)
    oracle.add("thin", 64)
    await oracle.write("thin", 512, 3 << 20)
    await oracle.verify()


async def test_writes_to_two_devices_at_once_do_not_meet(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    oracles = [Oracle(mapper, seed) for seed in (1, 2)]
    for number, oracle in enumerate(oracles):
        await make_thin(mapper, f"thin-{number}", number)
        oracle.add(f"thin-{number}", 32)

    async def fill(number: int) -> None:
        for _ in range(25):
            await oracles[number].write_somewhere(f"thin-{number}")
            await oracles[number].discard_somewhere(f"thin-{number}")

    async with trio.open_nursery() as nursery:
        for number in range(2):
            nursery.start_soon(fill, number)
    for oracle in oracles:
        await oracle.verify()


@pytest.mark.parametrize("suspended", ["thin", POOL])
async def test_io_is_held_while_suspended_and_let_through_on_resume(
    mapper: MapperUnderTest, suspended: str
) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    await mapper.write("thin", 0, b"a" * BLOCK)
    await mapper.dm.suspend(suspended)
    done: list[str] = []

    async def write() -> None:
        await mapper.write("thin", BLOCK, b"b" * BLOCK)
        done.append("write")

    async def read() -> None:
        assert await mapper.read("thin", 0, BLOCK) == b"a" * BLOCK
        done.append("read")

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            nursery.start_soon(read)
            await trio.sleep(0.2)
            assert done == []
            assert parse_thin_status(await mapper.dm.status("thin")).mapped_sectors == 128
            await mapper.dm.resume(suspended)
    assert sorted(done) == ["read", "write"]


async def test_status_commits_unless_asked_not_to(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    took = []
    for block in range(30):
        before, begun = _metadata(mapper), trio.current_time()
        await mapper.write("thin", block * BLOCK, b"x" * BLOCK)
        await mapper.dm.status(POOL, noflush=True)
        await mapper.dm.status("thin")
        if _metadata(mapper) == before:
            break
        # The write came after a quiet second, and was committed at once.
        took.append(trio.current_time() - begun)
    else:
        if min(took) > 0.5:
            pytest.skip(
                f"a write and a look at it take {min(took):.1f} s here, and a pool commits every second"
            )
        pytest.fail("every write was committed")
    await mapper.dm.status(POOL)
    assert _metadata(mapper) != before


def _metadata(mapper: MapperUnderTest) -> bytes:
    with Path(mapper.metadata_dev).open("rb", buffering=0) as device:
        # The kernel writes past the page cache, which keeps what was read before.
        os.posix_fadvise(device.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return device.read(min(METADATA_SIZE, 4096))


async def test_error_if_no_space_fails_the_write_and_a_discard_makes_room(mapper: MapperUnderTest) -> None:
    await make_pool(mapper, "0 1 error_if_no_space", blocks=4)
    await make_thin(mapper, "thin", 1)
    oracle = Oracle(mapper)
    oracle.add("thin", 32)
    await oracle.write("thin", 0, 4 * BLOCK)
    with failing(*mapper.no_space):
        await mapper.write("thin", 4 * BLOCK, b"x" * 512)
    status = parse_pool_status(await mapper.dm.status(POOL))
    assert (status.mode, status.no_space, status.used_data) == ("out_of_data_space", "error_if_no_space", 4)
    await oracle.write("thin", 0, BLOCK)  # a mapped block needs no space
    await oracle.discard("thin", 2 * BLOCK, BLOCK)
    assert parse_pool_status(await mapper.dm.status(POOL)).mode == "rw"
    await oracle.write("thin", 9 * BLOCK, BLOCK)
    await oracle.verify()


async def test_a_write_waits_for_space_and_a_deleted_device_ends_the_wait(mapper: MapperUnderTest) -> None:
    await make_pool(mapper, blocks=4)
    await make_thin(mapper, "full", 1)
    await make_thin(mapper, "thin", 2)
    await mapper.write("full", 0, b"f" * (4 * BLOCK))
    await mapper.dm.remove("full")
    done: list[str] = []

    async def write() -> None:
        await mapper.write("thin", 0, b"t" * (2 * BLOCK))
        done.append("written")

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            while parse_pool_status(await mapper.dm.status(POOL)).mode == "rw":
                await trio.sleep(0.01)
            assert done == []
            # A suspend of the pool does not wait for space.
            await mapper.dm.suspend(POOL)
            await mapper.dm.resume(POOL)
            await mapper.dm.message(POOL, 0, "delete 1")
    assert await mapper.read("thin", 0, 3 * BLOCK) == b"t" * (2 * BLOCK) + bytes(BLOCK)


async def test_writes_that_wait_for_space_hold_up_no_other_request(mapper: MapperUnderTest) -> None:
    await make_pool(mapper, blocks=5)
    await make_thin(mapper, "full", 1)
    await make_thin(mapper, "thin", 2, blocks=64)
    await mapper.write("full", 0, b"f" * (4 * BLOCK))
    await mapper.write("thin", 0, b"t" * BLOCK)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for block in range(2, 32):
                nursery.start_soon(mapper.write, "thin", block * BLOCK, b"w" * 4096)
            while parse_pool_status(await mapper.dm.status(POOL)).mode == "rw":
                await trio.sleep(0.01)
            for name, content in (("thin", b"t"), ("full", b"f")):
                assert await mapper.read(name, 0, 4096) == content * 4096
                await mapper.write(name, 4096, content.upper() * 4096)
                assert await mapper.read(name, 4096, 4096) == content.upper() * 4096
            await mapper.dm.suspend(POOL)
            await mapper.dm.load(POOL, pool_table(mapper, blocks=64))
            await mapper.dm.resume(POOL)
    assert parse_pool_status(await mapper.dm.status(POOL)).used_data == 5 + 30
    assert list(await mapper.check(POOL)) == []


async def test_ignore_discard_keeps_the_content(mapper: MapperUnderTest) -> None:
    await make_pool(mapper, "0 1 ignore_discard")
    await make_thin(mapper, "thin", 1)
    await mapper.write("thin", 0, b"x" * BLOCK)
    with failing(errno.EOPNOTSUPP) if mapper.refuses_discards else nullcontext():
        await mapper.discard("thin", 0, BLOCK)
    assert await mapper.read("thin", 0, BLOCK) == b"x" * BLOCK
    status = parse_pool_status(await mapper.dm.status(POOL))
    assert (status.discard, status.used_data) == ("ignore_discard", 1)


@pytest.mark.parametrize(("feature", "left"), [("0", 0), ("1 no_discard_passdown", 4)])
async def test_a_discard_reaches_the_data_device_unless_passdown_is_off(
    mapper: MapperUnderTest, feature: str, left: int
) -> None:
    await make_pool(mapper, f"0 {feature}")
    await make_thin(mapper, "thin", 1)
    await mapper.write("thin", 0, b"x" * (4 * BLOCK))
    await mapper.discard("thin", 0, 4 * BLOCK)
    assert parse_pool_status(await mapper.dm.status(POOL)).used_data == 0
    assert await mapper.read("thin", 0, 4 * BLOCK) == bytes(4 * BLOCK)
    await mapper.dm.remove("thin")
    await mapper.dm.remove(POOL)
    with Path(mapper.data_dev).open("rb") as device:
        assert device.read(4 * BLOCK) == b"x" * (left * BLOCK) + bytes((4 - left) * BLOCK)


async def test_a_shared_block_is_passed_down_with_its_last_user(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    await mapper.write("thin", 0, b"x" * BLOCK)
    await snap(mapper, "snap", 2, "thin", 1)
    await mapper.discard("thin", 0, BLOCK)
    assert await mapper.read("snap", 0, BLOCK) == b"x" * BLOCK
    assert parse_pool_status(await mapper.dm.status(POOL)).used_data == 1
    await mapper.discard("snap", 0, BLOCK)
    assert parse_pool_status(await mapper.dm.status(POOL)).used_data == 0


async def test_a_read_only_pool_reads_and_writes_only_mapped_blocks(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    await mapper.write("thin", 0, b"x" * BLOCK)
    await mapper.dm.remove("thin")
    await mapper.dm.remove(POOL)
    await mapper.dm.create(POOL, pool_table(mapper, "0 1 read_only"))
    await mapper.dm.create("thin", thin_table(1))
    assert parse_pool_status(await mapper.dm.status(POOL)).mode == "ro"
    with pytest.raises(DeviceMapperError) as caught:
        await mapper.dm.message(POOL, 0, "create_thin 2")
    assert caught.value.errno == errno.EOPNOTSUPP
    await mapper.write("thin", 0, b"y" * BLOCK)
    with failing(errno.EIO):
        await mapper.write("thin", BLOCK, b"y" * BLOCK)
    await mapper.discard("thin", 0, BLOCK)
    assert await mapper.read("thin", 0, 2 * BLOCK) == b"y" * BLOCK + bytes(BLOCK)
