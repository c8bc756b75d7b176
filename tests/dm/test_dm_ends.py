"""A request may come during or after a device's removal, or past its end; each has its errno, in process."""

import errno

import trio
from trio.testing import wait_all_tasks_blocked

from tests.dm.memory_device import MemoryDevice
from tests.dm.small_pool import BLOCK, SmallPool, refusal
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.runner import on_thread
from thinsim.thin.status import parse_pool_status


async def test_removal_waits_for_requests_in_flight_before_it_closes() -> None:
    data, metadata = MemoryDevice(8 * BLOCK), MemoryDevice(1 << 20)
    devices = {"data": data, "metadata": metadata}
    async with LocalDeviceMapper(NoNodes(), devices.__getitem__, on_thread).running() as dm:
        pool = SmallPool(dm, data, metadata)
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


async def test_io_on_a_removed_device_is_eio_also_for_a_held_request(pool: SmallPool) -> None:
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


async def test_a_write_past_the_end_is_enospc_and_a_read_is_short(pool: SmallPool) -> None:
    await pool.start("thin")
    volume = pool.dm.volume("thin")
    await refusal(errno.ENOSPC, volume.write, 16 * BLOCK - 512, b"x" * 1024)
    assert await volume.read(16 * BLOCK - 512, 1024) == bytes(512)
    assert await volume.read(17 * BLOCK, 1024) == b""
