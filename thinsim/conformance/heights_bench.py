"""Carries out the discards of ``thinsim.conformance.heights`` on a bare rig, one after the other."""

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from thinsim.block.linux import BLKDISCARD
from thinsim.conformance.heights import BLOCK, DEVICE, Answer, Case, Measured, Requests, State
from thinsim.measure.ranges import subtract, total
from thinsim.rig.backing import DATA_FILE
from thinsim.rig.bare_nodes import BareNodesRig
from thinsim.rig.host_file import host_allocation
from thinsim.rig.interface import PoolShape
from thinsim.rig.loop_rig import flush_device
from thinsim.thin.status import parse_pool_status, parse_thin_status
from thinsim.units import SECTOR_SIZE, Bytes, Sectors, sectors

_THIN, _SNAPSHOT = 1, 2


def shape_for(name: str) -> PoolShape:
    """Return the pool that the cases are made for; new blocks are not zeroed."""
    return PoolShape(
        name,
        data_size=Bytes(1 << 30),
        metadata_size=Bytes(16 << 20),
        block_size=Sectors(BLOCK // SECTOR_SIZE),
    )


async def measure(
    rig: BareNodesRig, source: str, wanted: Sequence[Case], say: Callable[[str], None]
) -> Measured:
    """Carry the cases out on *rig*, whose pool is empty, and leave it empty."""
    answers = {}
    for number, case in enumerate(wanted, 1):
        answers[case.name] = await _carry_out(rig, case)
        say(f"{number}/{len(wanted)} {case.name}")
    return Measured(source, answers)


async def _carry_out(rig: BareNodesRig, case: Case) -> Answer:
    pool = rig.shape.name
    name = f"{pool}-discarded"
    await rig.dm.message(pool, 0, f"create_thin {_THIN}")
    await rig.dm.create(name, f"0 {sectors(DEVICE)} thin /dev/mapper/{pool} {_THIN}")
    blocks = case.blocks()
    mapped = blocks[::2] if case.state is State.SPARSE else blocks
    await trio.to_thread.run_sync(_write, rig.dm.path(name), mapped)
    if case.state is State.SHARED:
        await rig.dm.suspend(name)
        await rig.dm.message(pool, 0, f"create_snap {_SNAPSHOT} {_THIN}")
        await rig.dm.resume(name)
    before = await _look(rig, name)
    await trio.to_thread.run_sync(_discard, rig.dm.path(name), case.offset, case.length)
    after = await _look(rig, name)
    await rig.dm.remove(name, retry=True)
    await rig.dm.message(pool, 0, f"delete {_THIN}")
    if case.state is State.SHARED:
        await rig.dm.message(pool, 0, f"delete {_SNAPSHOT}")
    return after.since(before)


@dataclass(frozen=True, slots=True)
class _View:
    """All counts at one moment."""

    thin: Requests
    mapped: int
    used: int
    data: Requests
    store: Requests
    host: Sequence[tuple[int, int]]

    def since(self, before: "_View") -> Answer:
        return Answer(
            thin=_difference(self.thin, before.thin),
            unmapped=(before.mapped - self.mapped) * SECTOR_SIZE // BLOCK,
            freed=before.used - self.used,
            data=_difference(self.data, before.data),
            store=_difference(self.store, before.store),
            host=total(subtract(before.host, self.host)),
        )


async def _look(rig: BareNodesRig, name: str) -> _View:
    """Settle, then look: the pool commits, what was written is on the host."""
    pool = parse_pool_status(await rig.dm.status(rig.shape.name))
    thin = parse_thin_status(await rig.dm.status(name))
    await trio.to_thread.run_sync(flush_device, rig.backing.data.path)
    totals = (await rig.backing.store.totals_by_file()).get(DATA_FILE)
    host = await trio.to_thread.run_sync(host_allocation, rig.backing.data_file)
    return _View(
        thin=_discards(rig.dm.path(name)),
        mapped=thin.mapped_sectors,
        used=pool.used_data,
        data=_discards(rig.backing.data.path),
        store=Requests(totals.events, totals.punched_bytes) if totals else Requests(0, 0),
        host=host.ranges,
    )


def _discards(node: Path) -> Requests:
    """Return the kernel's count of discards of a device (Documentation/block/stat.rst)."""
    number = node.stat().st_rdev
    text = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat").read_text().split()
    return Requests(int(text[11]), int(text[13]) * SECTOR_SIZE)


def _difference(after: Requests, before: Requests) -> Requests:
    return Requests(after.count - before.count, after.bytes - before.bytes)


def _write(node: Path, blocks: Iterable[int]) -> None:
    """Write blocks past the cache, one after the other, so that the pool gives them out in that order."""
    with mmap.mmap(-1, BLOCK) as buffer:
        buffer[:] = b"\xa5" * BLOCK
        fd = os.open(node, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        try:
            for block in blocks:
                if os.pwrite(fd, buffer, block * BLOCK) != BLOCK:
                    raise OSError(errno.EIO, os.strerror(errno.EIO), str(node))
        finally:
            os.close(fd)


def _discard(node: Path, offset: int, length: int) -> None:
    fd = os.open(node, os.O_WRONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", offset, length))
    finally:
        os.close(fd)
