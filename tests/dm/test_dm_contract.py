"""Each verb of device-mapper has the same effect and prints the same texts on every implementation."""

import errno
import os
from pathlib import Path

import trio

from tests.dm.mappers_under_test import (
    BLOCK,
    POOL,
    POOL_BLOCKS,
    MapperUnderTest,
    make_pool,
    make_thin,
    pool_table,
    refused,
    snap,
    thin_table,
)
from thinsim.thin.status import parse_pool_status

SECTORS = POOL_BLOCKS * BLOCK // 512


async def test_devices_are_listed_sorted_until_removed(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "zebra", 1)
    await make_thin(mapper, "ant", 2)
    assert await mapper.dm.list() == ["ant", POOL, "zebra"]
    await mapper.dm.remove("zebra")
    assert await mapper.dm.list() == ["ant", POOL]
    await mapper.dm.remove("ant")
    await mapper.dm.remove(POOL)
    assert await mapper.dm.list() == []


async def test_a_name_may_have_127_bytes_and_any_characters_of_a_file_name(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    for number, name in enumerate(("x" * 127, "a#b+c-d.e:f=g@h_i", "...", "a b\t%", "\u00e9")):
        await make_thin(mapper, name, number)
        await mapper.write(name, 0, bytes([number]) * BLOCK)
    assert len(await mapper.dm.list()) == 6


async def test_message_words_are_read_as_the_kernel_does(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await mapper.dm.message(POOL, 0, "  CREATE_thin \t +007 ")
    await mapper.dm.create("thin", thin_table(7))


async def test_the_status_line_of_a_pool(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    await mapper.dm.message(POOL, 0, "set_transaction_id 0 41")
    await mapper.write("thin", 0, b"x" * (3 * BLOCK))
    line = await mapper.dm.status(POOL)
    used = parse_pool_status(line).used_metadata
    assert line == (
        f"0 {SECTORS} thin-pool 41 {used}/2048 3/{POOL_BLOCKS} - rw discard_passdown queue_if_no_space - 512 "
    )


async def test_the_status_line_of_a_thin(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    length = 32 * BLOCK // 512
    assert await mapper.dm.status("thin") == f"0 {length} thin 0 -"
    await mapper.write("thin", 4 * BLOCK, b"x" * 512)
    assert await mapper.dm.status("thin") == f"0 {length} thin 128 {5 * 128 - 1}"


async def test_table_lines(mapper: MapperUnderTest) -> None:
    features = "17 4 error_if_no_space no_discard_passdown skip_block_zeroing ignore_discard"
    await make_pool(mapper, features)
    await make_thin(mapper, "thin", 3)
    metadata, data = (_number(path) for path in (mapper.metadata_dev, mapper.data_dev))
    assert await mapper.dm.table(POOL) == (
        f"0 {SECTORS} thin-pool {metadata} {data} 128 17 4 "
        "skip_block_zeroing ignore_discard no_discard_passdown error_if_no_space "
    )
    pool = await mapper.dm.info(POOL)
    assert await mapper.dm.table("thin") == f"0 {32 * 128} thin {pool.major}:{pool.minor} 3"


def _number(path: str) -> str:
    number = Path(path).stat().st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


async def test_a_device_may_be_named_by_its_path(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    assert mapper.dm.path("thin") == Path("/dev/mapper/thin")
    path = str(mapper.dm.path("thin"))
    assert (await mapper.dm.info(path)).name == "thin"
    assert await mapper.dm.status(path) == await mapper.dm.status("thin")
    await mapper.dm.suspend(path)
    assert (await mapper.dm.info("thin")).suspended
    await mapper.dm.resume(path)
    await mapper.dm.remove(path)
    assert await mapper.dm.list() == [POOL]


async def test_info_of_a_pool_and_of_a_thin(mapper: MapperUnderTest) -> None:
    await mapper.dm.create(POOL, pool_table(mapper), uuid="LVM-abc")
    await make_thin(mapper, "thin", 1)
    pool, thin = await mapper.dm.info(POOL), await mapper.dm.info("thin")
    assert (pool.name, pool.uuid, pool.open_count, pool.event_nr) == (POOL, "LVM-abc", 1, 0)
    assert (thin.name, thin.uuid, thin.open_count, thin.event_nr) == ("thin", "", 0, 0)
    for info in (pool, thin):
        assert info.live_table
        assert (info.inactive_table, info.suspended, info.deferred_remove) == (False, False, False)


async def test_suspending_and_resuming_twice_is_no_error(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    for name in ("thin", POOL):
        for _ in range(2):
            await mapper.dm.suspend(name)
        assert (await mapper.dm.info(name)).suspended
        for _ in range(2):
            await mapper.dm.resume(name)
        assert not (await mapper.dm.info(name)).suspended


async def test_messages_pass_to_a_suspended_pool(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await mapper.dm.suspend(POOL)
    await mapper.dm.message(POOL, 0, "create_thin 1")
    await mapper.dm.resume(POOL)


async def test_suspended_devices_can_be_removed(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    await mapper.dm.suspend("thin")
    await mapper.dm.remove("thin")
    await mapper.dm.suspend(POOL)
    await mapper.dm.remove(POOL)
    assert await mapper.dm.list() == []


async def test_verbs_on_other_devices_go_on_while_a_suspend_waits_for_its_pool(
    mapper: MapperUnderTest,
) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    await make_thin(mapper, "other", 2)
    await mapper.dm.suspend(POOL)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mapper.write, "thin", 0, b"x" * BLOCK)
        await trio.sleep(0.05)
        nursery.start_soon(mapper.dm.suspend, "thin")
        await trio.sleep(0.05)
        with trio.fail_after(60):
            await mapper.dm.remove("other")
            await mapper.dm.message(POOL, 0, "delete 2")
            await mapper.dm.resume(POOL)
    assert (await mapper.dm.info("thin")).suspended
    await mapper.dm.resume("thin")
    assert await mapper.read("thin", 0, BLOCK) == b"x" * BLOCK


async def test_wait_returns_at_the_low_water_mark_and_again_after_a_resume(mapper: MapperUnderTest) -> None:
    await make_pool(mapper, "4 0", blocks=8)
    await make_thin(mapper, "thin", 1)
    numbers: list[int] = []

    async def wait(seen: int) -> None:
        numbers.append(await mapper.dm.wait(POOL, seen))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, 0)
            await mapper.write("thin", 0, b"x" * (4 * BLOCK))
            await _verbs_have_begun(mapper)
            assert numbers == []
            await mapper.write("thin", 4 * BLOCK, b"x" * BLOCK)
        assert numbers == [1]
        assert (await mapper.dm.info(POOL)).event_nr == 1
        await mapper.write("thin", 5 * BLOCK, b"x" * BLOCK)
        assert (await mapper.dm.info(POOL)).event_nr == 1
        await mapper.dm.suspend(POOL)
        await mapper.dm.resume(POOL)
        await mapper.write("thin", 6 * BLOCK, b"x" * BLOCK)
        assert await mapper.dm.wait(POOL, 1) == 2
        assert await mapper.dm.wait(POOL, 0) == 2
        assert await mapper.dm.wait(POOL, 9) == 2, "any other number than the present one"


async def _verbs_have_begun(mapper: MapperUnderTest) -> None:
    """Return when verbs that were started before are in progress: after as long as some take."""
    begun = trio.current_time()
    await mapper.dm.info(POOL)
    await trio.sleep(0.05 + 3 * (trio.current_time() - begun))


async def test_removal_ends_a_wait(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    numbers: dict[str, int] = {}

    async def wait(name: str) -> None:
        numbers[name] = await mapper.dm.wait(name, 0)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "thin")
            nursery.start_soon(wait, POOL)
            await _verbs_have_begun(mapper)
            await mapper.dm.remove("thin")
            await mapper.dm.remove(POOL)
    assert numbers == {"thin": 1, POOL: 1}


async def test_the_metadata_snapshot_shows_and_goes(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "thin", 1)
    await mapper.write("thin", 0, b"x" * BLOCK)
    await mapper.dm.message(POOL, 0, "reserve_metadata_snap")
    assert parse_pool_status(await mapper.dm.status(POOL)).held_root is not None
    with refused(errno.EBUSY):
        await mapper.dm.message(POOL, 0, "reserve_metadata_snap")
    await mapper.discard("thin", 0, BLOCK)
    assert parse_pool_status(await mapper.dm.status(POOL)).used_data == 1
    await mapper.dm.message(POOL, 0, "release_metadata_snap")
    status = parse_pool_status(await mapper.dm.status(POOL))
    assert (status.held_root, status.used_data) == (None, 0)


async def test_one_thin_id_snapshots_into_many(mapper: MapperUnderTest) -> None:
    await make_pool(mapper)
    await make_thin(mapper, "origin", 0)
    await mapper.write("origin", 0, b"o" * BLOCK)
    for number in range(1, 5):
        await snap(mapper, f"snap{number}", number, "origin", 0)
        assert await mapper.read(f"snap{number}", 0, BLOCK) == b"o" * BLOCK
    assert parse_pool_status(await mapper.dm.status(POOL)).used_data == 1
