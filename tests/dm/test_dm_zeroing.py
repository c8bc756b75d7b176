"""A request for zeros makes the range read as zeros if it succeeds, and changes no other data.

Through the loop driver such a request may look like a discard (``thinsim.block.loop_limits``), so a device's
``punch`` has to be right for both.
"""

import errno
import fcntl
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_backing.system_calls import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    fallocate,
)
from tests.dm.mappers_under_test import (
    BLOCK,
    POOL,
    EmulatedMapper,
    make_pool,
    make_thin,
    pool_table,
    thin_table,
)
from tests.dm.memory_device import MemoryDevice
from thinsim.block import loop, loop_limits
from thinsim.block.linux import BLKZEROOUT
from thinsim.dm.emulator.local import LocalDeviceMapper
from thinsim.dm.emulator.nodes import NoNodes
from thinsim.dm.emulator.runner import in_place
from thinsim.errors import DeviceMapperError
from thinsim.thin.status import parse_pool_status

SIZE = 8 * BLOCK
PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
RANGES = [(4096, 8192), (BLOCK, BLOCK), (BLOCK - 512, 2 * BLOCK + 1024), (0, SIZE), (SIZE - 512, 512)]


@pytest.fixture
async def dm() -> AsyncIterator[LocalDeviceMapper]:
    sizes = {"data": 64 * BLOCK, "metadata": 1 << 20, "origin": SIZE}
    devices = {name: MemoryDevice(size) for name, size in sizes.items()}
    devices["origin"].content[:] = b"o" * SIZE
    async with LocalDeviceMapper(NoNodes(), devices.__getitem__, in_place).running() as dm:
        yield dm
        if "pool" in await dm.list():
            assert await dm.pool("pool").check() == []


async def make(dm: LocalDeviceMapper, features: str = "", origin: str = "") -> None:
    await dm.create("pool", f"0 {64 * 128} thin-pool metadata data 128 0 {features}".rstrip())
    await dm.message("pool", 0, "create_thin 1")
    await dm.create("thin", f"0 {SIZE // 512} thin /dev/mapper/pool 1 {origin}".rstrip())


@pytest.mark.parametrize(("offset", "length"), RANGES)
@pytest.mark.parametrize(
    "features", ["", "1 skip_block_zeroing", "1 ignore_discard", "1 no_discard_passdown"]
)
async def test_a_punched_range_reads_as_zeros_and_the_rest_stays(
    dm: LocalDeviceMapper, features: str, offset: int, length: int
) -> None:
    await make(dm, features)
    volume = dm.volume("thin")
    await volume.write(0, b"A" * SIZE)
    await volume.punch(offset, length)
    expected = b"A" * offset + bytes(length) + b"A" * (SIZE - offset - length)
    assert await volume.read(0, SIZE) == expected


@pytest.mark.parametrize(("offset", "length"), RANGES)
async def test_a_punch_leaves_a_snapshot_as_it_is(dm: LocalDeviceMapper, offset: int, length: int) -> None:
    await make(dm)
    await dm.volume("thin").write(0, b"A" * SIZE)
    await dm.suspend("thin")
    await dm.message("pool", 0, "create_snap 2 1")
    await dm.resume("thin")
    await dm.create("snap", f"0 {SIZE // 512} thin /dev/mapper/pool 2")
    await dm.volume("thin").punch(offset, length)
    assert await dm.volume("snap").read(0, SIZE) == b"A" * SIZE
    assert await dm.volume("thin").read(offset, length) == bytes(length)


@pytest.mark.parametrize(("offset", "length"), RANGES)
async def test_a_punch_hides_the_external_origin(dm: LocalDeviceMapper, offset: int, length: int) -> None:
    await make(dm, origin="origin")
    await dm.volume("thin").punch(offset, length)
    expected = b"o" * offset + bytes(length) + b"o" * (SIZE - offset - length)
    assert await dm.volume("thin").read(0, SIZE) == expected


async def test_a_punch_frees_whole_blocks(dm: LocalDeviceMapper) -> None:
    await make(dm)
    await dm.volume("thin").write(0, b"A" * SIZE)
    await dm.volume("thin").punch(BLOCK - 512, 2 * BLOCK + 1024)
    assert parse_pool_status(await dm.status("pool")).used_data == 6
    await dm.volume("thin").punch(0, SIZE)
    assert parse_pool_status(await dm.status("pool")).used_data == 0


@pytest.mark.parametrize("shared", [False, True])
async def test_in_a_read_only_pool_a_punch_writes_zeros_or_is_an_error(
    dm: LocalDeviceMapper, shared: bool
) -> None:
    """A discard has no effect in a read-only pool, and sharing can't be broken."""
    await make(dm)
    await dm.volume("thin").write(0, b"A" * SIZE)
    if shared:
        await dm.message("pool", 0, "create_snap 2 1")
    await dm.load("pool", f"0 {64 * 128} thin-pool metadata data 128 0 1 read_only")
    await dm.suspend("pool")
    await dm.resume("pool")
    if shared:
        with pytest.raises(DeviceMapperError) as caught:
            await dm.volume("thin").punch(0, SIZE)
        assert caught.value.errno == errno.EIO
    else:
        await dm.volume("thin").punch(0, SIZE)
    assert await dm.volume("thin").read(0, SIZE) == (b"A" * SIZE if shared else bytes(SIZE))


@settings(deadline=None)
@given(
    punches=st.lists(
        st.tuples(st.booleans(), st.integers(0, SIZE // 512 - 1), st.integers(1, SIZE // 512)), max_size=12
    )
)
def test_any_writes_and_punches_on_two_stripes_and_a_line_read_as_on_a_plain_file(
    punches: list[tuple[bool, int, int]],
) -> None:
    async def run() -> None:
        devices = {name: MemoryDevice(SIZE) for name in ("one", "two")}
        async with LocalDeviceMapper(NoNodes(), devices.__getitem__, in_place).running() as dm:
            await dm.create("stripes", f"0 {SIZE // 512} striped 2 8 one 0 two 0")
            await dm.create("line", f"0 {SIZE // 512} linear /dev/mapper/stripes 0")
            volume, expected = dm.volume("line"), bytearray(SIZE)
            for write, first, count in punches:
                offset, length = first * 512, min(count * 512, SIZE - first * 512)
                if write:
                    await volume.write(offset, b"x" * length)
                else:
                    await volume.punch(offset, length)
                expected[offset : offset + length] = (b"x" if write else b"\0") * length
                assert await volume.read(0, SIZE) == expected

    trio.run(run)


# Requests through the kernel.


def ask(node: Path, mode: int, offset: int, length: int) -> None:
    fd = os.open(node, os.O_RDWR)
    try:
        fallocate(fd, mode, offset, length)
    finally:
        os.close(fd)


def zero_out(node: Path, offset: int, length: int) -> None:
    fd = os.open(node, os.O_RDWR)
    try:
        fcntl.ioctl(fd, BLKZEROOUT, struct.pack("QQ", offset, length))
    finally:
        os.close(fd)


needs_limits = pytest.mark.skipif(
    not loop_limits.kernel_clears_limits(),
    reason="this kernel's loop driver does not stop sending requests for zeros (Linux 6.9 and later does)",
)


@needs_limits
@pytest.mark.rig
async def test_a_hole_punch_is_refused_and_the_data_stays(emulated: EmulatedMapper) -> None:
    await make_pool(emulated)
    await make_thin(emulated, "thin", 1)
    await emulated.write("thin", 0, b"A" * (4 * BLOCK))
    node = emulated.dm.path("thin")
    for offset, length in ((4096, 4096), (BLOCK, BLOCK), (0, 4 * BLOCK)):
        with pytest.raises(OSError, match="Operation not supported"):
            await trio.to_thread.run_sync(ask, node, PUNCH, offset, length)
    assert await emulated.read("thin", 0, 4 * BLOCK) == b"A" * (4 * BLOCK)
    await emulated.discard("thin", BLOCK, BLOCK)
    assert await emulated.read("thin", BLOCK, BLOCK) == bytes(BLOCK)


@pytest.mark.rig
@pytest.mark.parametrize("zero", [zero_out, lambda *where: ask(where[0], FALLOC_FL_ZERO_RANGE, *where[1:])])
async def test_zeros_are_written_in_the_requested_range(emulated: EmulatedMapper, zero: object) -> None:
    await make_pool(emulated)
    await make_thin(emulated, "thin", 1)
    await emulated.write("thin", 0, b"A" * (4 * BLOCK))
    await trio.to_thread.run_sync(zero, emulated.dm.path("thin"), 4096, 2 * BLOCK)
    expected = b"A" * 4096 + bytes(2 * BLOCK) + b"A" * (2 * BLOCK - 4096)
    assert await emulated.read("thin", 0, 4 * BLOCK) == expected


@needs_limits
@pytest.mark.rig
async def test_the_end_of_a_device_is_as_it_was_after_every_reload(emulated: EmulatedMapper) -> None:
    """The loop device stops requests for zeros by one write of zeros to the last sector, which is dropped."""
    await make_pool(emulated)
    await make_thin(emulated, "thin", 1)
    end = 32 * BLOCK
    await emulated.write("thin", end - BLOCK, b"Z" * BLOCK)
    for table in (f"0 {end // 512} linear {emulated.dm.path(POOL)} 0", thin_table(1)) * 2:
        await emulated.dm.load("thin", table)
        await emulated.dm.suspend("thin")
        await emulated.dm.resume("thin")
    assert await emulated.read("thin", end - BLOCK, BLOCK) == b"Z" * BLOCK
    with pytest.raises(OSError, match="Operation not supported"):
        await trio.to_thread.run_sync(ask, emulated.dm.path("thin"), PUNCH, 4096, 4096)


@pytest.mark.rig
async def test_a_linear_device_passes_requests_for_zeros_on(emulated: EmulatedMapper) -> None:
    await emulated.dm.create("line", f"0 2048 linear {emulated.data_dev} 0")
    await emulated.write("line", 0, b"A" * (4 * BLOCK))
    await trio.to_thread.run_sync(ask, emulated.dm.path("line"), PUNCH, 4096, BLOCK)
    assert await emulated.read("line", 0, 2 * BLOCK) == b"A" * 4096 + bytes(BLOCK) + b"A" * (BLOCK - 4096)


@pytest.mark.rig
async def test_a_device_has_the_logical_blocks_of_the_data_device(
    emulated: EmulatedMapper, tmp_path: Path
) -> None:
    """Otherwise mkfs and mount would read and write less than a sector of 4096 bytes."""
    (tmp_path / "data").write_bytes(b"")
    os.truncate(tmp_path / "data", 64 * BLOCK)
    data = await trio.to_thread.run_sync(lambda: loop.attach(tmp_path / "data", block_size=4096))
    try:
        table = pool_table(emulated, blocks=64).replace(emulated.data_dev, str(data.path))
        await emulated.dm.create(POOL, table)
        await make_thin(emulated, "thin", 1)
        number = emulated.dm.path("thin").stat().st_rdev
        queue = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue")
        assert (queue / "logical_block_size").read_text() == "4096\n"
        assert (queue / "discard_granularity").read_text() == f"{BLOCK}\n"
        await emulated.write("thin", 4096, b"A" * 4096)
        assert await emulated.read("thin", 0, BLOCK) == bytes(4096) + b"A" * 4096 + bytes(BLOCK - 8192)
        with pytest.raises(OSError, match="Invalid argument"):
            await emulated.write("thin", 512, b"A" * 512)
        await emulated.dm.remove("thin")
        await emulated.dm.remove(POOL)
    finally:
        await trio.to_thread.run_sync(loop.detach, data)
