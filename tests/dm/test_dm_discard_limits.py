"""A device takes discards as long as its live table does, whoever uses it while another table is loaded.

The node of an emulated device is a loop device, which has to be brought to refuse discards
(``thinsim.block.loop_limits``).
"""

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from fuse_backing.system_calls import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    fallocate,
)
from tests.dm.mappers_under_test import BLOCK, EmulatedMapper, MapperUnderTest, failing
from thinsim.block import loop, loop_limits, loop_numbers
from thinsim.block.linux import BLKDISCARD
from thinsim.dm.dropin import dropin

TAKES, IGNORES = "takes", "ignores"
"""The names of two pools: one takes discards, the other ignores them."""
BLOCKS = 8
SIZE = BLOCKS * BLOCK
POOL_SECTORS = 64 * BLOCK // 512
METADATA_SECTORS = 4096

needs_limits = pytest.mark.skipif(
    not loop_limits.kernel_clears_limits(),
    reason="this kernel's loop driver accepts discards for good (before Linux 6.9)",
)


def table_on(pool: str) -> str:
    return f"0 {SIZE // 512} thin /dev/mapper/{pool} 1"


@asynccontextmanager
async def two_pools(mapper: MapperUnderTest) -> AsyncIterator[None]:
    """Create both pools, with a thin id 1 that has the same content in both; check and remove them."""
    dm = mapper.dm
    for number, (pool, features) in enumerate(((TAKES, "0"), (IGNORES, "1 ignore_discard"))):
        for kind, device, sectors in (
            ("metadata", mapper.metadata_dev, METADATA_SECTORS),
            ("data", mapper.data_dev, POOL_SECTORS),
        ):
            await dm.create(f"{pool}-{kind}", f"0 {sectors} linear {device} {number * sectors}")
        lower = f"/dev/mapper/{pool}-metadata /dev/mapper/{pool}-data"
        await dm.create(pool, f"0 {POOL_SECTORS} thin-pool {lower} {BLOCK // 512} 0 {features}")
        await dm.message(pool, 0, "create_thin 1")
        await dm.create("filled", table_on(pool))
        await mapper.write("filled", 0, b"A" * SIZE)
        await dm.remove("filled", retry=True)
    yield
    for pool in (TAKES, IGNORES):
        if isinstance(mapper, EmulatedMapper):
            assert list(await mapper.check(pool)) == []
        for name in (pool, f"{pool}-metadata", f"{pool}-data"):
            await dm.remove(name, retry=True)


async def reload(mapper: MapperUnderTest, name: str, table: str, *, readonly: bool = False) -> None:
    await mapper.dm.load(name, table, readonly=readonly)
    await mapper.dm.suspend(name)
    await mapper.dm.resume(name)


async def takes_discards(mapper: MapperUnderTest, name: str, offset: int = SIZE - 512) -> bool:
    """Discard less than a block, which changes no mapping, and return whether that succeeds."""
    try:
        await mapper.discard(name, offset, 512)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return False
    return True


def _refuses(mapper: MapperUnderTest) -> None:
    if not mapper.refuses_discards:
        pytest.skip("before Linux 6.9 the loop driver accepts discards for good")


async def test_a_reload_turns_discards_off_and_on_again(mapper: MapperUnderTest) -> None:
    _refuses(mapper)
    async with two_pools(mapper):
        await mapper.dm.create("thin", table_on(IGNORES))
        for _ in range(2):
            assert not await takes_discards(mapper, "thin")
            assert not await takes_discards(mapper, "thin", 0)
            assert await mapper.read("thin", 0, SIZE) == b"A" * SIZE
            await reload(mapper, "thin", table_on(TAKES))
            assert await takes_discards(mapper, "thin")
            await mapper.discard("thin", BLOCK, BLOCK)
            assert await mapper.read("thin", 0, 3 * BLOCK) == b"A" * BLOCK + bytes(BLOCK) + b"A" * BLOCK
            await mapper.write("thin", BLOCK, b"A" * BLOCK)
            await reload(mapper, "thin", table_on(IGNORES))
        await mapper.dm.remove("thin", retry=True)


async def test_two_devices_change_places(mapper: MapperUnderTest) -> None:
    _refuses(mapper)
    async with two_pools(mapper):
        await mapper.dm.create("one", table_on(TAKES))
        await mapper.dm.create("two", table_on(IGNORES))
        assert await takes_discards(mapper, "one")
        assert not await takes_discards(mapper, "two")
        await mapper.dm.load("one", table_on(IGNORES))
        await mapper.dm.load("two", table_on(TAKES))
        for name in ("one", "two"):
            await mapper.dm.suspend(name)
        for name in ("one", "two"):
            await mapper.dm.resume(name)
        assert not await takes_discards(mapper, "one")
        assert await takes_discards(mapper, "two")
        for name in ("one", "two"):
            await mapper.dm.remove(name, retry=True)


# Nodes of the emulated device-mapper.


@contextmanager
def opened(node: Path, flags: int = 0) -> Iterator[int]:
    fd = os.open(node, os.O_RDWR | os.O_CLOEXEC | flags)
    try:
        yield fd
    finally:
        os.close(fd)


async def fd_takes_discards(fd: int) -> bool:
    try:
        await trio.to_thread.run_sync(fcntl.ioctl, fd, BLKDISCARD, struct.pack("QQ", SIZE - 512, 512))
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return False
    return True


@needs_limits
@pytest.mark.rig
async def test_a_suspend_and_a_new_name_change_nothing(emulated: EmulatedMapper, tmp_path: Path) -> None:
    (tmp_path / "programs").mkdir()
    environment = dict(dropin.write_dropin(tmp_path / "programs", emulated.stack.control_device))
    async with two_pools(emulated):
        for pool, takes in ((IGNORES, False), (TAKES, True)):
            await emulated.dm.create("before", table_on(pool))
            await trio.run_process(["dmsetup", "rename", "before", "after"], env=os.environ | environment)
            assert await takes_discards(emulated, "after") is takes
            await emulated.dm.suspend("after")
            await emulated.dm.resume("after")
            assert await takes_discards(emulated, "after") is takes
            await reload(emulated, "after", table_on(TAKES if pool == IGNORES else IGNORES))
            assert await takes_discards(emulated, "after") is not takes
            await emulated.dm.remove("after", retry=True)


@needs_limits
@pytest.mark.rig
async def test_a_program_that_has_the_device_open_meets_each_change(emulated: EmulatedMapper) -> None:
    async with two_pools(emulated):
        await emulated.dm.create("thin", table_on(TAKES))
        with opened(emulated.dm.path("thin")) as fd:
            for pool, takes in ((TAKES, True), (IGNORES, False)) * 2:
                await reload(emulated, "thin", table_on(pool))
                assert await fd_takes_discards(fd) is takes
        await emulated.dm.remove("thin", retry=True)


@needs_limits
@pytest.mark.rig
@pytest.mark.parametrize(
    "table", [table_on(IGNORES), *(f"0 {SIZE // 512} {each}" for each in ("zero", "error"))]
)
async def test_an_exclusive_user_meets_the_refusal_at_once_and_its_end_after_the_close(
    emulated: EmulatedMapper, table: str
) -> None:
    """The loop driver takes no new limits while the device is claimed (loop_set_block_size)."""
    async with two_pools(emulated):
        await emulated.dm.create("thin", table_on(TAKES))
        with opened(emulated.dm.path("thin"), os.O_EXCL) as fd:
            assert await fd_takes_discards(fd)
            await reload(emulated, "thin", table)
            assert not await fd_takes_discards(fd)
            await reload(emulated, "thin", table_on(TAKES))
            assert not await fd_takes_discards(fd)
            assert await emulated.read("thin", 0, SIZE) == b"A" * SIZE
        await emulated.dm.suspend("thin")
        await emulated.dm.resume("thin")
        assert await takes_discards(emulated, "thin")
        await emulated.dm.remove("thin", retry=True)


@needs_limits
@pytest.mark.rig
async def test_an_exclusive_user_costs_a_linear_device_its_requests_for_zeros_only_for_that_time(
    emulated: EmulatedMapper,
) -> None:
    linear = f"0 {SIZE // 512} linear {emulated.data_dev} {2 * POOL_SECTORS}"
    async with two_pools(emulated):
        await emulated.dm.create("line", linear)
        node = emulated.dm.path("line")
        with opened(node, os.O_EXCL):
            await reload(emulated, "line", table_on(TAKES))
            await reload(emulated, "line", linear)
        await emulated.write("line", 0, b"A" * BLOCK)
        await emulated.dm.suspend("line")
        await emulated.dm.resume("line")
        with opened(node) as fd:
            await trio.to_thread.run_sync(
                fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096
            )
        assert await emulated.read("line", 0, 3 * 4096) == b"A" * 4096 + bytes(4096) + b"A" * 4096
        await emulated.dm.remove("line", retry=True)


@needs_limits
@pytest.mark.rig
async def test_pages_that_a_program_has_mapped_keep_their_content(emulated: EmulatedMapper) -> None:
    """A request that sets a limit zeroes a part of a page in the page cache, but drops a whole one."""
    places = (0, 512, 4096, SIZE - 4096, SIZE - 512)

    def content(mapped: mmap.mmap) -> list[bytes]:
        return [mapped[at : at + 4] for at in places]

    def change(mapped: mmap.mmap) -> None:
        mapped[100:104] = mapped[SIZE - 104 : SIZE - 100] = b"BBBB"

    async with two_pools(emulated):
        await emulated.dm.create("thin", table_on(TAKES))
        with opened(emulated.dm.path("thin")) as fd, mmap.mmap(fd, SIZE) as mapped:
            for pool in (TAKES, IGNORES) * 2:
                assert await trio.to_thread.run_sync(content, mapped) == [b"AAAA"] * len(places)
                await reload(emulated, "thin", table_on(pool))
            assert await trio.to_thread.run_sync(content, mapped) == [b"AAAA"] * len(places)
            await trio.to_thread.run_sync(change, mapped)
            await trio.to_thread.run_sync(os.fsync, fd)
        changed = b"A" * 100 + b"BBBB" + b"A" * (SIZE - 208) + b"BBBB" + b"A" * 100
        assert await emulated.read("thin", 0, SIZE) == changed
        await emulated.dm.remove("thin", retry=True)


@needs_limits
@pytest.mark.rig
async def test_a_read_only_table_refuses_what_it_would_refuse_without_that(emulated: EmulatedMapper) -> None:
    """The kernel checks the limit before it checks for a read-only device (blk_ioctl_discard)."""
    async with two_pools(emulated):
        await emulated.dm.create("thin", table_on(TAKES))
        for pool, number in ((IGNORES, errno.EOPNOTSUPP), (TAKES, errno.EPERM)) * 2:
            await reload(emulated, "thin", table_on(pool), readonly=True)
            with opened(emulated.dm.path("thin")) as fd, failing(number):
                await trio.to_thread.run_sync(fcntl.ioctl, fd, BLKDISCARD, struct.pack("QQ", 0, BLOCK))
            with failing(errno.EPERM):
                await emulated.write("thin", 0, b"B" * 512)
            assert await emulated.read("thin", 0, SIZE) == b"A" * SIZE
        await reload(emulated, "thin", table_on(TAKES))
        assert await takes_discards(emulated, "thin")
        await emulated.dm.remove("thin", retry=True)


@pytest.fixture
def without_discards(tmp_path: Path) -> Iterator[Path]:
    """Yield a device that takes requests for zeros, and no discards."""
    (tmp_path / "lower").write_bytes(b"A" * SIZE)
    # A number of its own: the limit would stay with a device that others use later.
    device = loop.attach(tmp_path / "lower", number=6000 + os.getpid() % 1000)
    try:
        Path(f"/sys/block/{device.path.name}/queue/discard_max_bytes").write_text("0")
        yield device.path
    finally:
        loop.detach(device)
        loop_numbers.remove(device.number)


@needs_limits
@pytest.mark.rig
async def test_a_linear_device_refuses_discards_where_the_device_below_does(
    emulated: EmulatedMapper, without_discards: Path
) -> None:
    """A loop device can't take requests for zeros alone, so these become writes of zeros (lo_fallocate)."""
    refusing = f"0 {SIZE // 512} linear {without_discards} 0"
    await emulated.dm.create("line", refusing)
    for _ in range(2):
        assert not await takes_discards(emulated, "line", 0)
        assert await emulated.read("line", 0, SIZE) == b"A" * SIZE
        with opened(emulated.dm.path("line")) as fd:
            await trio.to_thread.run_sync(fallocate, fd, FALLOC_FL_ZERO_RANGE, 4096, 4096)
        assert await emulated.read("line", 0, 3 * 4096) == b"A" * 4096 + bytes(4096) + b"A" * 4096
        await emulated.write("line", 4096, b"A" * 4096)
        await reload(emulated, "line", f"0 {SIZE // 512} linear {emulated.data_dev} 0")
        assert await takes_discards(emulated, "line", 0)
        await reload(emulated, "line", refusing)
    await emulated.dm.remove("line", retry=True)


@pytest.mark.parametrize(
    ("size", "block_size", "expected"),
    [
        (1 << 20, 512, ((1 << 20) - mmap.PAGESIZE, mmap.PAGESIZE)),
        (3 * mmap.PAGESIZE + 512, 512, (2 * mmap.PAGESIZE, mmap.PAGESIZE)),
        (mmap.PAGESIZE, 4096, (0, mmap.PAGESIZE)),
        (1536, 1024, (0, 1024)),
        (512, 1024, None),
        (0, 512, None),
    ],
)
def test_the_last_page_is_whole(size: int, block_size: int, expected: tuple[int, int] | None) -> None:
    assert loop_limits.last_page(size, block_size) == expected
