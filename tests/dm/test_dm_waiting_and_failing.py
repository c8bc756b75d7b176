"""A pool's clock and its failures, in process: periodic commits, the no-space timeout, devices that fail."""

import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from faulty_block_device import FaultyBlockDevice
from trio.testing import MockClock, wait_all_tasks_blocked

from thinsim.dm.held_writes import NO_SPACE_TIMEOUT
from thinsim.dm.local import LocalDeviceMapper
from thinsim.dm.metadata_device import MetadataDevice
from thinsim.dm.nodes import NoNodes
from thinsim.dm.runner import Runner, in_place, on_thread
from thinsim.errors import DeviceMapperError
from thinsim.thin.check import check
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.status import parse_pool_status

BLOCK = 65536
TABLE = f"0 {8 * 128} thin-pool metadata data 128 0"


class Pool:
    """One pool of eight blocks on two devices that can fail, with thin devices of sixteen blocks."""

    def __init__(self, dm: LocalDeviceMapper, data: FaultyBlockDevice, metadata: FaultyBlockDevice) -> None:
        self.dm = dm
        self.data = data
        self.metadata = metadata

    async def start(self, *names: str, features: str = "") -> None:
        await self.dm.create("pool", f"{TABLE} {features}".rstrip())
        for number, name in enumerate(names):
            await self.dm.message("pool", 0, f"create_thin {number}")
            await self.dm.create(name, f"0 {16 * 128} thin /dev/mapper/pool {number}")

    async def write(self, name: str, block: int, count: int = 1) -> None:
        await self.dm.volume(name).write(block * BLOCK, b"x" * (count * BLOCK))

    async def mode(self) -> str:
        return parse_pool_status(await self.dm.status("pool", noflush=True)).mode

    def saved_mappings(self) -> int:
        copy = FaultyBlockDevice(self.metadata.size)
        copy.content[:] = self.metadata.content
        metadata = PoolMetadata(MetadataDevice(copy), 128)
        return sum(metadata.details(thin_id).mapped_blocks for thin_id in metadata.thin_ids())


@asynccontextmanager
async def running_pool(run: Runner) -> AsyncIterator[Pool]:
    data, metadata = FaultyBlockDevice(8 * BLOCK), FaultyBlockDevice(1 << 20)
    devices = {"data": data, "metadata": metadata}
    async with LocalDeviceMapper(NoNodes(), devices.__getitem__, run).running() as dm:
        yield Pool(dm, data, metadata)
    assert (data.closed, metadata.closed) == (1, 1)


@pytest.fixture(params=[in_place, on_thread])
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[Pool]:
    async with running_pool(request.param) as pool:
        yield pool


@pytest.fixture
async def clocked() -> AsyncIterator[Pool]:
    """Without threads, of which a clock that jumps knows nothing; the test itself takes the clock."""
    async with running_pool(in_place) as pool:
        yield pool


async def refusal(number: int, *call: object) -> None:
    function, *arguments = call
    with pytest.raises(DeviceMapperError) as caught:
        await function(*arguments)  # type: ignore[operator]
    assert caught.value.errno == number


async def test_a_change_is_committed_within_a_second_or_two(clocked: Pool, autojump_clock: MockClock) -> None:
    await clocked.start("thin")
    await clocked.write("thin", 0, 2)
    assert clocked.saved_mappings() == 0
    await trio.sleep(1.1)
    assert clocked.saved_mappings() == 2
    clocked.metadata.log.clear()
    await trio.sleep(60)
    assert clocked.metadata.log == [], "an unchanged pool is not committed"


async def test_a_flush_commits_the_changed_device_alone(pool: Pool) -> None:
    await pool.start("changed", "same")
    await pool.write("changed", 0)
    await pool.dm.volume("same").flush()
    assert pool.saved_mappings() == 0
    await pool.dm.volume("changed").flush()
    assert pool.saved_mappings() == 1


async def test_writes_fail_together_when_no_space_came_in_time(
    clocked: Pool, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    await clocked.start("thin", "late")
    await clocked.write("thin", 0, 8)
    began = trio.current_time()
    ended: dict[str, float] = {}

    async def write(name: str, after: float) -> None:
        await trio.sleep(after)
        await refusal(errno.ENOSPC, clocked.write, name, 9)
        ended[name] = trio.current_time() - began

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, "thin", 0)
        nursery.start_soon(write, "late", 30)
        # Without space the low water mark was reached and the mode changed; then the timeout fired.
        assert await clocked.dm.wait("pool", 0) == 2
        assert await clocked.dm.wait("pool", 2) == 3
    assert ended == {
        "thin": pytest.approx(NO_SPACE_TIMEOUT, 0.1),
        "late": pytest.approx(NO_SPACE_TIMEOUT, 0.1),
    }
    assert parse_pool_status(await clocked.dm.status("pool")).no_space == "error_if_no_space"
    await refusal(errno.ENOSPC, clocked.write, "thin", 9)
    await clocked.dm.suspend("pool")
    await clocked.dm.resume("pool")
    assert parse_pool_status(await clocked.dm.status("pool")).no_space == "queue_if_no_space"


async def test_a_cancelled_wait_for_space_takes_nothing(pool: Pool) -> None:
    await pool.start("thin")
    await pool.write("thin", 0, 7)
    with trio.move_on_after(0.05):
        await pool.write("thin", 7, 3)  # one block of three fits
    assert await pool.mode() == "out_of_data_space"
    await pool.dm.volume("thin").discard(0, 4 * BLOCK)
    await pool.dm.status("pool")
    assert await pool.mode() == "rw"
    await pool.write("thin", 8, 3)
    assert check(pool.dm.pool("pool").engine) == []


async def test_a_discard_ends_the_wait_at_the_next_periodic_commit(
    clocked: Pool, autojump_clock: MockClock
) -> None:
    await clocked.start("thin")
    await clocked.write("thin", 0, 8)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clocked.write, "thin", 10, 2)
        await trio.sleep(0.1)
        await clocked.dm.volume("thin").discard(0, 2 * BLOCK)
    assert await clocked.dm.volume("thin").read(10 * BLOCK, 2 * BLOCK) == b"x" * (2 * BLOCK)
    assert check(clocked.dm.pool("pool").engine) == []


@pytest.mark.parametrize("device", ["data", "metadata"])
async def test_a_failing_commit_shows_in_the_status_and_fails_no_verb(
    pool: Pool, device: str, caplog: pytest.LogCaptureFixture
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


async def test_a_failing_commit_wakes_who_waits_for_an_event_or_for_space(
    pool: Pool, caplog: pytest.LogCaptureFixture
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
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    await pool.start("thin")
    await pool.write("thin", 0)
    await pool.dm.remove("thin")
    pool.metadata.fails = {"write"}
    await pool.dm.remove("pool")
    assert await pool.dm.list() == []
    assert "metadata operation commit failed" in caplog.text


async def test_closing_goes_through_whatever_fails(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    await pool.start("thin", "held")
    await pool.write("thin", 0)
    await pool.dm.suspend("held")
    await pool.dm.suspend("pool")
    pool.metadata.fails = {"write", "flush"}
    await pool.dm.close()
    assert await pool.dm.list() == []
    await pool.dm.close()


async def test_a_failed_write_maps_nothing_and_leaks_its_block_as_the_kernel_does(pool: Pool) -> None:
    await pool.start("thin")
    pool.data.fails = {"write"}
    await refusal(errno.EIO, pool.write, "thin", 0)
    pool.data.fails = set()
    assert await pool.dm.volume("thin").read(0, BLOCK) == bytes(BLOCK)
    assert check(pool.dm.pool("pool").engine) == ["data block 0: 1 references, but 0 uses: leaked"]


async def test_blocks_beside_one_that_fails_are_written_and_mapped_as_the_kernel_does() -> None:
    async with running_pool(on_thread) as pool:
        await pool.dm.create("disk", "0 160 linear data 0\n160 8 error\n168 856 linear data 168")
        await pool.dm.create("pool", f"0 {8 * 128} thin-pool metadata /dev/mapper/disk 128 0")
        await pool.dm.message("pool", 0, "create_thin 1")
        await pool.dm.create("thin", f"0 {16 * 128} thin /dev/mapper/pool 1")
        await refusal(errno.EIO, pool.write, "thin", 0, 4)
        assert await pool.dm.status("thin") == f"0 {16 * 128} thin {3 * 128} {4 * 128 - 1}"
        assert check(pool.dm.pool("pool").engine) == ["data block 1: 1 references, but 0 uses: leaked"]
        written = b"x" * BLOCK + bytes(BLOCK) + b"x" * 2 * BLOCK
        assert await pool.dm.volume("thin").read(0, 4 * BLOCK) == written
        # Of the block that failed, too, everything was written that could be.
        assert pool.data.content[BLOCK : 2 * BLOCK].count(b"x") == BLOCK - 8 * 512


async def test_an_error_that_does_not_come_again_leaves_nothing_of_a_write_mapped(pool: Pool) -> None:
    await pool.start("thin")
    pool.data.fails_once = {"write"}
    await refusal(errno.EIO, pool.write, "thin", 0, 4)
    assert await pool.dm.status("thin") == f"0 {16 * 128} thin 0 -"


async def test_a_failed_read_is_eio_and_a_failed_passdown_is_none(pool: Pool) -> None:
    await pool.start("thin")
    await pool.write("thin", 0)
    pool.data.fails = {"read", "discard"}
    await refusal(errno.EIO, pool.dm.volume("thin").read, 0, 512)
    await pool.dm.volume("thin").discard(0, BLOCK)
    assert parse_pool_status(await pool.dm.status("pool")).used_data == 0


async def test_damaged_metadata_is_eilseq_and_closes_both_devices(pool: Pool) -> None:
    pool.metadata.content[:8] = b"whatever"
    await refusal(errno.EILSEQ, pool.dm.create, "pool", TABLE)
    assert (pool.data.closed, pool.metadata.closed) == (1, 1)


async def test_metadata_that_cannot_be_read_is_eio(pool: Pool) -> None:
    pool.metadata.fails = {"read"}
    await refusal(errno.EIO, pool.dm.create, "pool", TABLE)


async def test_a_metadata_device_that_is_too_small_is_refused(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.metadata.content = bytearray(4096)
    await refusal(errno.ENOSPC, pool.dm.create, "pool", TABLE)
    assert await pool.dm.list() == []
    assert not any(pool.metadata.content)


@pytest.mark.parametrize(("blocks", "number"), [(7, errno.ENOSPC), (8, errno.ENOSPC), (9, errno.ENOSPC)])
async def test_metadata_without_room_to_grow_refuses_the_pool(
    pool: Pool, blocks: int, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    pool.metadata.content = bytearray(blocks * 4096)
    await refusal(number, pool.dm.create, "pool", TABLE)


@pytest.mark.parametrize("blocks", [10, 11])
async def test_metadata_without_room_for_the_first_commit_gives_a_read_only_pool(
    pool: Pool, blocks: int, caplog: pytest.LogCaptureFixture
) -> None:
    pool.metadata.content = bytearray(blocks * 4096)
    await pool.dm.create("pool", TABLE)
    status = parse_pool_status(await pool.dm.status("pool"))
    assert (status.mode, status.needs_check) == ("ro", True)


async def test_twelve_metadata_blocks_are_enough(pool: Pool) -> None:
    pool.metadata.content = bytearray(12 * 4096)
    await pool.dm.create("pool", TABLE)
    assert await pool.mode() == "rw"


async def test_removal_waits_for_requests_in_flight_before_it_closes() -> None:
    data, metadata = FaultyBlockDevice(8 * BLOCK), FaultyBlockDevice(1 << 20)
    devices = {"data": data, "metadata": metadata}
    async with LocalDeviceMapper(NoNodes(), devices.__getitem__, on_thread).running() as dm:
        pool = Pool(dm, data, metadata)
        await pool.start("thin")
        volume = dm.volume("thin")
        data.pass_on.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.write, 0, b"x" * BLOCK)
            await wait_all_tasks_blocked(0.05)
            await dm.remove("thin")
            nursery.start_soon(dm.remove, "pool")
            await wait_all_tasks_blocked(0.05)
            assert not data.closed
            data.pass_on.set()
    assert data.content[:BLOCK] == b"x" * BLOCK
    await refusal(errno.EIO, volume.read, 0, 512)


async def test_io_on_a_removed_device_is_eio_also_for_who_was_held(pool: Pool) -> None:
    await pool.start("thin")
    volume = pool.dm.volume("thin")
    await pool.dm.suspend("pool")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refusal, errno.EIO, volume.write, 0, b"x" * BLOCK)
        await wait_all_tasks_blocked(0.01)
        await pool.dm.remove("thin")
        await pool.dm.message("pool", 0, "delete 0")
        await pool.dm.message("pool", 0, "create_thin 0")
        await pool.dm.resume("pool")
    await refusal(errno.EIO, volume.flush)
    await refusal(errno.EIO, volume.discard, 0, BLOCK)
    assert parse_pool_status(await pool.dm.status("pool")).used_data == 0


async def test_a_write_past_the_end_is_enospc_and_a_read_is_short(pool: Pool) -> None:
    await pool.start("thin")
    volume = pool.dm.volume("thin")
    await refusal(errno.ENOSPC, volume.write, 16 * BLOCK - 512, b"x" * 1024)
    assert await volume.read(16 * BLOCK - 512, 1024) == bytes(512)
    assert await volume.read(17 * BLOCK, 1024) == b""
