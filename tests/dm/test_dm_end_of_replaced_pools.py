"""A device-mapper ends although I/O waits for a pool whose device has another table now."""

from contextlib import suppress

import trio
from trio.testing import wait_all_tasks_blocked

from tests.dm.memory_device import MemoryDevice
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.runner import on_thread
from thinsim.errors import DeviceMapperError

BLOCK = 65536


async def test_the_end_lets_io_through_that_waits_for_a_pool_whose_table_was_replaced() -> None:
    data, metadata = MemoryDevice(8 * BLOCK), MemoryDevice(1 << 20)
    devices = {"data": data, "metadata": metadata}
    ended = trio.Event()

    async def discard() -> None:
        with suppress(DeviceMapperError):  # done, or EIO if the device is gone first
            await dm.volume("thin").discard(0, BLOCK)
        ended.set()

    with trio.fail_after(30):
        async with (
            trio.open_nursery() as nursery,
            LocalDeviceMapper(NoNodes(), devices.__getitem__, on_thread).running() as dm,
        ):
            await dm.create("pool", f"0 {8 * 128} thin-pool metadata data 128 0")
            await dm.message("pool", 0, "create_thin 0")
            await dm.create("thin", f"0 {16 * 128} thin /dev/mapper/pool 0")
            # dmsetup remove --force does this to a device that is in use.
            await dm.suspend("pool")
            await dm.load("pool", f"0 {8 * 128} error")
            await dm.resume("pool")
            nursery.start_soon(discard)
            await wait_all_tasks_blocked(0.05)
            assert not ended.is_set()
    assert (data.closed, metadata.closed) == (1, 1)
