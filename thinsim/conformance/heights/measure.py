"""`measure_heights` runs the discards of ``cases.py`` on a rig with devices, one after the other."""

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from thinsim.block.linux import BLKDISCARD
from thinsim.conformance.heights.cases import (
    BLOCK,
    DEVICE,
    SPARSE_STEP,
    BlockState,
    DiscardAnswer,
    DiscardCase,
    DiscardCount,
    MeasuredHeights,
)
from thinsim.ranges import subtract, total
from thinsim.rig import device_io
from thinsim.rig.backing import DATA_FILE
from thinsim.rig.host_file import host_allocation
from thinsim.rig.loop_rig import LoopRig
from thinsim.rig.shape import PoolShape
from thinsim.thin.status import parse_pool_status, parse_thin_status
from thinsim.units import SECTOR_SIZE, Bytes, Sectors, sectors

_THIN, _ORIGIN = 1, 2
_AT_ONCE = 16


def shape_for(name: str) -> PoolShape:
    """Return the shape of the pool for the cases; the pool does not zero new blocks."""
    return PoolShape(
        name,
        data_size=Bytes(1 << 30),
        metadata_size=Bytes(16 << 20),
        block_size=Sectors(BLOCK // SECTOR_SIZE),
    )


async def measure_heights(
    rig: LoopRig, source: str, wanted: Sequence[DiscardCase], say: Callable[[str], None]
) -> MeasuredHeights:
    """Run the cases *wanted* on *rig*, whose pool is empty before and after."""
    answers = {}
    pool = rig.shape.name
    if any(case.state is BlockState.SHARED for case in wanted):
        # The origin is written once: each case discards in a snapshot of it.
        async with _thin(rig, _ORIGIN) as origin:
            await trio.to_thread.run_sync(_write, rig.dm.path(origin), range(DEVICE // BLOCK), False)
    for number, case in enumerate(wanted, 1):
        if case.state is BlockState.SHARED:
            await rig.dm.message(pool, 0, f"create_snap {_THIN} {_ORIGIN}")
        async with _thin(rig, _THIN, new=case.state is not BlockState.SHARED) as name:
            answers[case.name] = await _carry_out(rig, name, case)
        await rig.dm.message(pool, 0, f"delete {_THIN}")
        say(f"{number}/{len(wanted)} {case.name}")
    if any(case.state is BlockState.SHARED for case in wanted):
        await rig.dm.message(pool, 0, f"delete {_ORIGIN}")
    return MeasuredHeights(source, answers)


@asynccontextmanager
async def _thin(rig: LoopRig, thin_id: int, *, new: bool = True) -> AsyncIterator[str]:
    """Make a thin device active during the context; yield its name."""
    pool = rig.shape.name
    name = f"{pool}-{thin_id}"
    if new:
        await rig.dm.message(pool, 0, f"create_thin {thin_id}")
    await rig.dm.create(name, f"0 {sectors(DEVICE)} thin /dev/mapper/{pool} {thin_id}")
    yield name
    await rig.dm.remove(name, retry=True)


async def _carry_out(rig: LoopRig, name: str, case: DiscardCase) -> DiscardAnswer:
    if case.state is not BlockState.SHARED:
        sparse = case.state is BlockState.SPARSE
        await trio.to_thread.run_sync(_write, rig.dm.path(name), case.blocks(), sparse)
    before = await _look(rig, name)
    await trio.to_thread.run_sync(_discard, rig.dm.path(name), case.offset, case.length)
    return (await _look(rig, name)).since(before)


@dataclass(frozen=True, slots=True)
class _View:
    """A `_View` has all counts at one moment."""

    thin: DiscardCount
    mapped: int
    used: int
    data: DiscardCount
    store: DiscardCount
    host: Sequence[tuple[int, int]]

    def since(self, before: "_View") -> DiscardAnswer:
        return DiscardAnswer(
            thin=_difference(self.thin, before.thin),
            unmapped=(before.mapped - self.mapped) * SECTOR_SIZE // BLOCK,
            freed=before.used - self.used,
            data=_difference(self.data, before.data),
            store=_difference(self.store, before.store),
            host=total(subtract(before.host, self.host)),
        )


async def _look(rig: LoopRig, name: str) -> _View:
    """Return the counts after a commit of the pool and a flush to the host."""
    pool = parse_pool_status(await rig.dm.status(rig.shape.name))
    thin = parse_thin_status(await rig.dm.status(name))
    await trio.to_thread.run_sync(device_io.flush, rig.backing.data.path)
    totals = (await rig.backing.store.totals_by_file()).get(DATA_FILE)
    host = await trio.to_thread.run_sync(host_allocation, rig.backing.data_file)
    return _View(
        thin=_discards(rig.dm.path(name)),
        mapped=thin.mapped_sectors,
        used=pool.used_data,
        data=_discards(rig.backing.data.path),
        store=DiscardCount(totals.events, totals.punched_bytes) if totals else DiscardCount(0, 0),
        host=host.held,
    )


def _discards(node: Path) -> DiscardCount:
    """Return the kernel's count of a device's discards (Documentation/block/stat.rst)."""
    number = node.stat().st_rdev
    text = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat").read_text().split()
    return DiscardCount(int(text[11]), int(text[13]) * SECTOR_SIZE)


def _difference(after: DiscardCount, before: DiscardCount) -> DiscardCount:
    return DiscardCount(after.count - before.count, after.bytes - before.bytes)


def _write(node: Path, blocks: range, sparse: bool) -> None:
    """Write past the cache, one request after the other, so that the pool allocates blocks in order.

    With *sparse* write one block in sixteen, otherwise all blocks, in requests of 1 MiB.
    """
    step, at_once = (SPARSE_STEP, 1) if sparse else (_AT_ONCE, _AT_ONCE)
    with mmap.mmap(-1, at_once * BLOCK) as buffer:
        buffer[:] = b"\xa5" * len(buffer)
        fd = os.open(node, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        try:
            for block in blocks[::step]:
                size = min(at_once, blocks.stop - block) * BLOCK
                with memoryview(buffer) as whole, whole[:size] as piece:
                    if os.pwrite(fd, piece, block * BLOCK) != size:
                        raise OSError(errno.EIO, os.strerror(errno.EIO), str(node))
        finally:
            os.close(fd)


def _discard(node: Path, offset: int, length: int) -> None:
    fd = os.open(node, os.O_WRONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", offset, length))
    finally:
        os.close(fd)
