"""An opened thin device: what a read, write, discard or flush means for the data device.

Behaviour of dm-thin.c (thin_bio_map, process_bio, provision_block, break_sharing, passdown).
Offsets and lengths are bytes within the device.
"""

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thinsim.errors import DeviceMapperError
from thinsim.thin.discard import MAX_RANGE, cut, unreferenced, whole_blocks
from thinsim.thin.ids import ThinId
from thinsim.thin.mapping import TIME_BITS, Run, join, unpack
from thinsim.thin.metadata.details import ThinRecord
from thinsim.thin.modes import PoolMode
from thinsim.thin.plan import Commit, FlushData, PassDown, ReadData, ReadOrigin, ReadStep, ReadZeros, Step
from thinsim.thin.provisioning import Insert, prepare_steps, write_steps
from thinsim.thin.space_errors import NoDataSpace, NotWritable, OutOfDataSpace, Unserviceable
from thinsim.thin.status import ThinStatus
from thinsim.units import Sectors, bytes_of

if TYPE_CHECKING:
    from thinsim.thin.pool import Pool

__all__ = [
    "DiscardPlan",
    "NoDataSpace",
    "NotWritable",
    "OutOfDataSpace",
    "ThinDevice",
    "Unserviceable",
    "WritePlan",
]


@dataclass(slots=True)
class WritePlan:
    """The steps of a write, and the mappings that ``complete`` makes visible.

    The plan is for the first *length* bytes of the request: what comes then can't be served now, and is
    planned again.
    """

    steps: list[Step]
    length: int
    _inserts: list[Insert] = field(default_factory=list)
    _epoch: int = 0
    _open: bool = True

    @property
    def remaps(self) -> bool:
        """Whether the write changes mappings; a plan that doesn't needs no ``complete``."""
        return bool(self._inserts)


@dataclass(slots=True)
class DiscardPlan:
    """The steps of a discard, and the runs of data blocks whose references ``complete`` drops."""

    steps: list[Step]
    _held: list[tuple[int, int]] = field(default_factory=list)
    _epoch: int = 0
    _open: bool = True


class ThinDevice:
    """A thin device between ``Pool.open_thin`` and ``Pool.close_thin``; *length* is this table's, in sectors.

    *origin_bytes* is the size of its external origin, None without one: what is not mapped is read there.

    A plan changes what is mapped only when it is handed back: ``complete`` after its steps were
    carried out, ``abandon`` after one failed. Two requests of which one changes the mapping of a
    block may not be outstanding on that block; keeping them apart is the executor's work.
    """

    def __init__(
        self, pool: "Pool", thin_id: ThinId, length: Sectors, origin_bytes: int | None = None
    ) -> None:
        self.thin_id = thin_id
        self.length = length
        self.origin_bytes = origin_bytes
        self._pool = pool
        self._block = bytes_of(pool.block_size)

    @property
    def block(self) -> int:
        """Bytes of a data block."""
        return self._block

    @property
    def mapped_sectors(self) -> int:
        """Sectors of the mapped blocks; 0 once the device is lost."""
        record = self._pool.find_record(self.thin_id)
        return 0 if record is None else record.mapped_blocks * self._pool.block_size

    def status(self) -> ThinStatus:
        """Return what ``dmsetup status`` shows; mapped sectors count whole blocks, beyond the end, too."""
        if self._pool.mode is PoolMode.FAIL:
            return ThinStatus(0, None, "Fail")
        record = self._pool.find_record(self.thin_id)
        if record is None:
            return ThinStatus(0, None, "Error")
        try:
            with self._pool.looking():
                highest = self._pool.metadata.highest(self.thin_id)
        except DeviceMapperError:
            return ThinStatus(0, None, "Error")
        size = self._pool.block_size
        mapped = record.mapped_blocks * size
        return ThinStatus(mapped, None if highest is None else (highest + 1) * size - 1)

    def plan_read(self, offset: int, length: int) -> list[ReadStep]:
        """Return the steps of a read. EIO: past the end, or a failed pool.

        Unmapped blocks read as zeros, or as the external origin. A pool that can't provision does not
        look where that ends, so that the device itself refuses (__process_bio_read_only).
        """
        self._check_request(offset, length)
        self._record()
        size = self._block
        get = self._find(offset, length).get
        origin_end = self.origin_bytes or 0
        if self.origin_bytes is not None and self._pool.mode is not PoolMode.WRITE:
            origin_end = offset + length
        steps: list[ReadStep] = []
        position, end = offset, offset + length
        while position < end:
            vblock, within = divmod(position, size)
            piece = min(size - within, end - position)
            packed = get(vblock)
            if packed is not None:
                _append(steps, ReadData((packed >> TIME_BITS) * size + within, piece))
            else:
                head = max(0, min(piece, origin_end - position))
                if head:
                    _append(steps, ReadOrigin(position, head))
                if head < piece:
                    _append(steps, ReadZeros(piece - head))
            position += piece
        return steps

    def needs_remap(self, offset: int, length: int) -> bool:
        """Return whether a write there would provision a block or break sharing."""
        if length == 0:
            return False
        time = self._record().snapshotted_time
        found = self._find(offset, length)
        for vblock in range(offset // self._block, (offset + length - 1) // self._block + 1):
            packed = found.get(vblock)
            if packed is None or time > unpack(packed)[1]:
                return True
        return False

    def origin_ranges(self, offset: int, length: int) -> list[tuple[int, int]]:
        """Return (offset, length) of what a write there may copy from the external origin.

        That are its first and last block, as far as the origin goes; the blocks between are written whole.
        """
        size, origin_end = self._block, self.origin_bytes or 0
        first, last = offset // size, (offset + length - 1) // size
        if last - first < 2:
            ranges = [(first * size, (last + 1) * size)]
        else:
            ranges = [(first * size, (first + 1) * size), (last * size, (last + 1) * size)]
        return [(begin, min(end, origin_end) - begin) for begin, end in ranges if begin < origin_end]

    def plan_write(self, offset: int, length: int) -> WritePlan:
        """Return the plan of a write, or of its beginning as far as there are data blocks for it.

        The blocks are taken now, in ascending order; a commit may be made to get them. Raises
        DeviceMapperError: Unserviceable when the first block needs one and there is none (NoDataSpace,
        OutOfDataSpace, NotWritable); EIO past the end and in a failed pool.
        """
        self._check_request(offset, length)
        if length == 0:
            return WritePlan([], 0)
        record = self._record()
        time = record.snapshotted_time
        found = self._find(offset, length)
        first, last = offset // self._block, (offset + length - 1) // self._block
        zero = not self._pool.features.skip_block_zeroing
        origin = self.origin_bytes or 0
        targets: list[int] = []
        inserts: list[Insert] = []
        epoch = self._pool.epoch
        for vblock in range(first, last + 1):
            packed = found.get(vblock)
            old, mapped_at = (None, 0) if packed is None else unpack(packed)
            if old is not None and time <= mapped_at:
                targets.append(old)
                continue
            self._check_not_remapping(range(vblock, vblock + 1))
            try:
                block = self._pool.take_block()
            except DeviceMapperError:
                if not targets or epoch != self._pool.epoch:
                    raise
                break
            targets.append(block)
            if old is None and not zero and vblock * self._block >= origin:
                # Nothing to prepare, so that the kernel maps it before the data is written (schedule_zero).
                self._map(record, [(vblock, block)])
            else:
                inserts.append(Insert(vblock, block, old))
        if inserts:
            self._pool.remapping.setdefault(self.thin_id, set()).update(insert.vblock for insert in inserts)
        length = min(length, (first + len(targets)) * self._block - offset)
        steps: list[Step] = list(
            prepare_steps(inserts, offset, length, self._block, zero=zero, origin_bytes=origin)
        )
        steps += write_steps(targets, offset, length, self._block)
        return WritePlan(steps, length, inserts, epoch)

    def plan_discard(self, offset: int, length: int) -> DiscardPlan:
        """Unmap the blocks wholly inside the range and return what to pass down.

        The blocks keep a reference until ``complete``, so that nobody gets them while the discard
        of their content is under way. EOPNOTSUPP under ignore_discard, EINVAL past the end, EIO in a
        failed pool or when the metadata fails; in a read-only pool the discard succeeds and does nothing.
        """
        pool = self._pool
        if pool.features.ignore_discard:
            raise DeviceMapperError(errno.EOPNOTSUPP, "the pool ignores discards")
        if offset < 0 or length < 0 or offset + length > bytes_of(self.length):
            raise DeviceMapperError(errno.EINVAL, f"discard of {length} bytes at {offset} is past the end")
        record = self._record()
        begin, end = whole_blocks(offset, length, self._block)
        if pool.mode > PoolMode.OUT_OF_DATA_SPACE or begin == end:
            return DiscardPlan([])
        self._check_not_remapping(range(begin, end))
        if pool.passes_down:
            with pool.looking():
                mapped = list(join(pool.metadata.entries(self.thin_id, begin, end)))
            plan = DiscardPlan([], [], pool.epoch)
            try:
                with pool.changing("discard"):
                    self._unmap_and_hold(plan, record, mapped)
            except DeviceMapperError:
                # What was unmapped before the failure comes to its second stage all the same.
                self.complete(plan)
                raise
            return plan
        with pool.changing("discard"):
            # One removal for each request that the block layer makes of the range.
            for first in range(begin - begin % MAX_RANGE, end, MAX_RANGE):
                pool.metadata.remove_range(record, max(begin, first), min(end, first + MAX_RANGE))
        return DiscardPlan([])

    def _unmap_and_hold(self, plan: DiscardPlan, record: ThinRecord, mapped: list[Run]) -> None:
        """Unmap run by run, the first stage of two (process_prepared_discard_passdown_pt1)."""
        pool, metadata = self._pool, self._pool.metadata
        for run in cut(mapped, record.snapshotted_time):
            metadata.remove_range(record, run.vblock, run.vblock + run.length)
            data_end = run.data_block + run.length
            metadata.increment(run.data_block, data_end)
            pool.in_flight.add(range(run.data_block, data_end))
            plan._held.append((run.data_block, data_end))
            plan.steps += [
                PassDown(data_block * self._block, blocks_long * self._block)
                for data_block, blocks_long in unreferenced(
                    run, lambda block: metadata.data.count(block) == 1
                )
            ]

    def plan_flush(self) -> list[Step]:
        """Return a commit when this device changed since the last one, else a flush of the data device.

        EIO in a failed pool, when changes were lost with an aborted transaction, or can't be committed.
        A pool that gives out no blocks takes a flush for a write to block 0: when that is not mapped, the
        flush is Unserviceable (dm-thin.c, __process_bio_read_only).
        """
        record = self._record()
        pool = self._pool
        if pool.mode is not PoolMode.WRITE and not self._find(0, self._block):
            raise pool.unserviceable()
        if record.lost_changes:
            raise DeviceMapperError(
                errno.EIO, f"changes of thin {self.thin_id} were lost with their transaction"
            )
        if not record.changed:
            return [FlushData()]
        if pool.mode > PoolMode.OUT_OF_DATA_SPACE:
            raise DeviceMapperError(errno.EIO, "the pool is read-only and can't commit")
        return [Commit()]

    def complete(self, plan: WritePlan | DiscardPlan) -> None:
        """Every step was carried out: make a write's mappings visible, drop a discard's references.

        EIO when the transaction of a write was aborted meanwhile: it is not mapped.
        """
        self._close(plan)
        pool = self._pool
        if isinstance(plan, DiscardPlan):
            pool.drop_held(plan._held, plan._epoch)
            return
        if not plan.remaps:
            return
        blocks = self._land(plan)
        if plan._epoch != pool.epoch or pool.mode > PoolMode.OUT_OF_DATA_SPACE:
            pool.leak(blocks, plan._epoch)
            raise DeviceMapperError(errno.EIO, "the pool became read-only during the write")
        record = self._record()
        self._map(record, [(insert.vblock, insert.data_block) for insert in plan._inserts])

    def abandon(self, plan: WritePlan | DiscardPlan) -> None:
        """A step failed: a write maps nothing and its blocks stay allocated; a discard completes."""
        if isinstance(plan, DiscardPlan):
            self.complete(plan)
            return
        self._close(plan)
        self._pool.leak(self._land(plan), plan._epoch)

    def _map(self, record: ThinRecord, blocks: list[tuple[int, int]]) -> None:
        """Map virtual to data blocks, which are in flight no more."""
        with self._pool.changing("insertion of a mapping"):
            for vblock, data_block in blocks:
                self._pool.metadata.insert(record, vblock, data_block)
        self._pool.in_flight.remove(data_block for _, data_block in blocks)

    def _find(self, offset: int, length: int) -> dict[int, int]:
        """Return the packed mappings of the blocks of a byte range; EIO."""
        begin, end = offset // self._block, -(-(offset + length) // self._block)
        metadata = self._pool.metadata
        with self._pool.looking():
            if end - begin == 1:
                packed = metadata.find(self.thin_id, begin)
                return {} if packed is None else {begin: packed}
            return dict(metadata.entries(self.thin_id, begin, end))

    def _land(self, plan: WritePlan) -> list[int]:
        """End the flight of *plan*; returns its data blocks."""
        outstanding = self._pool.remapping.pop(self.thin_id, set())
        outstanding.difference_update(insert.vblock for insert in plan._inserts)
        if outstanding:
            self._pool.remapping[self.thin_id] = outstanding
        return [insert.data_block for insert in plan._inserts]

    def _check_not_remapping(self, vblocks: range) -> None:
        outstanding = self._pool.remapping.get(self.thin_id)
        both = outstanding.intersection(vblocks) if outstanding else None
        if both:
            raise AssertionError(
                f"thin {self.thin_id}: block {min(both)} already has a remapping write outstanding"
            )

    def _check_request(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > bytes_of(self.length):
            raise DeviceMapperError(errno.EIO, f"{length} bytes at {offset} are past the end of the device")

    def _record(self) -> ThinRecord:
        """Return the device's record; EIO when the pool failed or the device went with its transaction."""
        record = self._pool.find_record(self.thin_id)
        if self._pool.mode is PoolMode.FAIL or record is None:
            raise DeviceMapperError(errno.EIO, f"thin {self.thin_id} is lost: the pool failed")
        return record

    @staticmethod
    def _close(plan: WritePlan | DiscardPlan) -> None:
        if not plan._open:
            raise AssertionError("the plan was already completed or abandoned")
        plan._open = False


def _append(steps: list[ReadStep], step: ReadStep) -> None:
    """Add *step*, joined to the last one if it goes on where that ends."""
    match steps[-1] if steps else None, step:
        case ReadZeros(length), ReadZeros():
            steps[-1] = ReadZeros(length + step.length)
        case ReadData(start, length), ReadData() if start + length == step.data_offset:
            steps[-1] = ReadData(start, length + step.length)
        case ReadOrigin(start, length), ReadOrigin() if start + length == step.origin_offset:
            steps[-1] = ReadOrigin(start, length + step.length)
        case _:
            steps.append(step)
