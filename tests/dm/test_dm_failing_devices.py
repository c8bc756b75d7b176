"""Devices below a pool fail, in process: commits, writes, metadata that is damaged or too small."""

import errno
import logging

import pytest
import trio

from tests.dm.small_pool import BLOCK, TABLE, SmallPool, refusal, running_pool
from thinsim.dm.emulator.runner import on_thread
from thinsim.thin.status import parse_pool_status


@pytest.mark.parametrize("device", ["data", "metadata"])
async def test_a_failing_commit_shows_in_the_status_and_fails_no_verb(
    pool: SmallPool, device: str, caplog: pytest.LogCaptureFixture
) -> None:
    await pool.start("thin")
    await pool.write("thin", 0)
    getattr(pool, device).fails = {"flush"}
    status = parse_pool_status(await pool.dm.status("pool"))
    assert (status.mode, status.needs_check) == ("ro", True)
    await refusal(errno.EIO, pool.write, "thin", 1)
    await pool.dm.suspend("pool")
    await pool.dm.resume("pool")
    await pool.dm.remove("thin")
    await pool.dm.remove("pool")
    assert await pool.dm.list() == []


async def test_a_failing_commit_wakes_waiters_for_an_event_or_for_space(
    pool: SmallPool, caplog: pytest.LogCaptureFixture
) -> None:
    await pool.start("thin")
    await pool.write("thin", 0, 8)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refusal, errno.ENOSPC, pool.write, "thin", 9)
            assert await pool.dm.wait("pool", 0) == 2
            nursery.start_soon(pool.dm.wait, "pool", 2)
            pool.data.fails = {"flush"}
            await pool.dm.message("pool", 0, "create_thin 7")
    assert await pool.mode() == "ro"


async def test_a_pool_whose_last_commit_fails_is_removed_and_its_devices_closed(
    pool: SmallPool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    await pool.start("thin")
    await pool.write("thin", 0)
    await pool.dm.remove("thin")
    pool.metadata.fails = {"write"}
    await pool.dm.remove("pool")
    assert await pool.dm.list() == []
    assert "metadata operation commit failed" in caplog.text


async def test_closing_continues_after_any_failure(pool: SmallPool, caplog: pytest.LogCaptureFixture) -> None:
    await pool.start("thin", "held")
    await pool.write("thin", 0)
    await pool.dm.suspend("held")
    await pool.dm.suspend("pool")
    pool.metadata.fails = {"write", "flush"}
    await pool.dm.close()
    assert await pool.dm.list() == []
    await pool.dm.close()


async def test_a_failed_write_maps_nothing_and_leaks_its_block_as_the_kernel_does(pool: SmallPool) -> None:
    await pool.start("thin")
    pool.data.fails = {"write"}
    await refusal(errno.EIO, pool.write, "thin", 0)
    pool.data.fails = set()
    assert await pool.dm.volume("thin").read(0, BLOCK) == bytes(BLOCK)
    assert pool.dm.pool("pool").engine.check() == ["data block 0: 1 references, but 0 uses: leaked"]


async def test_blocks_beside_one_that_fails_are_written_and_mapped_as_the_kernel_does() -> None:
    async with running_pool(on_thread) as pool:
        await pool.dm.create("disk", "0 160 linear data 0\n160 8 error\n168 856 linear data 168")
        await pool.dm.create("pool", f"0 {8 * 128} thin-pool metadata /dev/mapper/disk 128 0")
        await pool.dm.message("pool", 0, "create_thin 1")
        await pool.dm.create("thin", f"0 {16 * 128} thin /dev/mapper/pool 1")
        await refusal(errno.EIO, pool.write, "thin", 0, 4)
        assert await pool.dm.status("thin") == f"0 {16 * 128} thin {3 * 128} {4 * 128 - 1}"
        assert pool.dm.pool("pool").engine.check() == ["data block 1: 1 references, but 0 uses: leaked"]
        written = b"x" * BLOCK + bytes(BLOCK) + b"x" * 2 * BLOCK
        assert await pool.dm.volume("thin").read(0, 4 * BLOCK) == written
        # The possible part of the failed block was written as well.
        assert pool.data.content[BLOCK : 2 * BLOCK].count(b"x") == BLOCK - 8 * 512


async def test_an_error_that_does_not_come_again_leaves_nothing_of_a_write_mapped(pool: SmallPool) -> None:
    await pool.start("thin")
    pool.data.fails_once = {"write"}
    await refusal(errno.EIO, pool.write, "thin", 0, 4)
    assert await pool.dm.status("thin") == f"0 {16 * 128} thin 0 -"


async def test_a_failed_read_is_eio_and_a_failed_passdown_is_none(pool: SmallPool) -> None:
    await pool.start("thin")
    await pool.write("thin", 0)
    pool.data.fails = {"read", "discard"}
    await refusal(errno.EIO, pool.dm.volume("thin").read, 0, 512)
    await pool.dm.volume("thin").discard(0, BLOCK)
    assert parse_pool_status(await pool.dm.status("pool")).used_data == 0


async def test_damaged_metadata_is_eilseq_and_closes_both_devices(pool: SmallPool) -> None:
    pool.metadata.content[:8] = b"whatever"
    await refusal(errno.EILSEQ, pool.dm.create, "pool", TABLE)
    assert (pool.data.closed, pool.metadata.closed) == (1, 1)


async def test_metadata_that_cannot_be_read_is_eio(pool: SmallPool) -> None:
    pool.metadata.fails = {"read"}
    await refusal(errno.EIO, pool.dm.create, "pool", TABLE)


async def test_a_metadata_device_that_is_too_small_is_refused(
    pool: SmallPool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.metadata.content = bytearray(4096)
    await refusal(errno.ENOSPC, pool.dm.create, "pool", TABLE)
    assert await pool.dm.list() == []
    assert not any(pool.metadata.content)


@pytest.mark.parametrize(("blocks", "number"), [(7, errno.ENOSPC), (8, errno.ENOSPC), (9, errno.ENOSPC)])
async def test_metadata_without_room_to_grow_refuses_the_pool(
    pool: SmallPool, blocks: int, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    pool.metadata.content = bytearray(blocks * 4096)
    await refusal(number, pool.dm.create, "pool", TABLE)


@pytest.mark.parametrize("blocks", [10, 11])
async def test_metadata_without_room_for_the_first_commit_gives_a_read_only_pool(
    pool: SmallPool, blocks: int, caplog: pytest.LogCaptureFixture
) -> None:
    pool.metadata.content = bytearray(blocks * 4096)
    await pool.dm.create("pool", TABLE)
    status = parse_pool_status(await pool.dm.status("pool"))
    assert (status.mode, status.needs_check) == ("ro", True)


async def test_twelve_metadata_blocks_are_enough(pool: SmallPool) -> None:
    pool.metadata.content = bytearray(12 * 4096)
    await pool.dm.create("pool", TABLE)
    assert await pool.mode() == "rw"
