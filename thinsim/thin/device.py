"""An opened thin device: what a read, write, discard or flush means for the data device.

Behaviour of dm-thin.c (thin_bio_map, process_bio, provision_block, break_sharing, passdown).
Offsets and lengths are bytes within the device.
"""

import errno
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from thinsim.errors import DeviceMapperError
from thinsim.thin.ids import ThinId
from thinsim.thin.mapping import Run, join, unpack
from thinsim.thin.metadata.details import ThinRecord
from thinsim.thin.modes import PoolMode
from thinsim.thin.outstanding import DiscardPlan, WritePlan
from thinsim.thin.passdown import MAX_RANGE, cut, requests, unreferenced, whole_blocks
from thinsim.thin.plan import Commit, FlushData, PassDown, ReadStep, Step
from thinsim.thin.reading import read_steps
from thinsim.thin.status import ThinStatus
from thinsim.thin.writing import Insert, block_writes, prepare_steps, write_steps
from thinsim.units import Sectors, bytes_of

if TYPE_CHECKING:
    from thinsim.thin.pool import Pool


class ThinDevice:
    """A thin device between ``Pool.open_thin`` and ``Pool.close_thin``; *length* is this table's, in sectors.

    *origin_bytes* is the size of its external origin, None without one: what is not mapped is read there.

    A plan changes what is mapped only when it is handed back: ``complete`` after its steps were
    carried out, ``abandon`` after one failed. Two requests of which one changes the mapping of a
    block may not be outstanding on that block; keeping them apart is the executor's work.
    """

    def __init__(
        self, pool: "Pool", record: ThinRecord, length: Sectors, origin_bytes: int | None = None
    ) -> None:
        self.record = record
        self.length = length
        self.origin_bytes = origin_bytes
        self._pool = pool
        self._block = bytes_of(pool.block_size)

    @property
    def thin_id(self) -> ThinId:
        """The id in the pool."""
        return self.record.thin_id

    @property
    def block(self) -> int:
        """Bytes of a data block."""
        return self._block

    @property
    def mapped_sectors(self) -> int:
        """Sectors of the mapped blocks."""
        return self.record.mapped_blocks * self._pool.block_size

    def status(self) -> ThinStatus:
        """Return what ``dmsetup status`` shows; mapped sectors count whole blocks, beyond the end, too.

        A device that was lost with its transaction has an error instead.
        """
        if self._pool.mode is PoolMode.FAIL:
            return ThinStatus(0, None, "Fail")
        try:
            with self._pool.looking():
                highest = self._pool.metadata.highest(self.thin_id)
        except DeviceMapperError:
            return ThinStatus(0, None, "Error")
        size = self._pool.block_size
        return ThinStatus(self.mapped_sectors, None if highest is None else (highest + 1) * size - 1)

    def plan_read(self, offset: int, length: int) -> list[ReadStep]:
        """Return the steps of a read. EIO: past the end, or a failed pool.

        Unmapped blocks read as zeros, or as the external origin. A pool that can't provision does not
        look where that ends, so that the device itself refuses (__process_bio_read_only).
        """
        self._check_request(offset, length)
        self._check_not_failed()
        origin_end = self.origin_bytes or 0
        if self.origin_bytes is not None and self._pool.mode is not PoolMode.WRITE:
            origin_end = offset + length
        return read_steps(self._find(offset, length), offset, length, self._block, origin_end)

    def needs_remap(self, offset: int, length: int) -> bool:
        """Return whether a write there would provision a block or break sharing."""
        if length == 0:
            return False
        self._check_not_failed()
        time = self.record.snapshotted_time
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
        self._check_not_failed()
        time = self.record.snapshotted_time
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
                self._map([(vblock, block)])
            else:
                inserts.append(Insert(vblock, block, old))
        if inserts:
            self._pool.remapping.setdefault(self.thin_id, set()).update(insert.vblock for insert in inserts)
        length = min(length, (first + len(targets)) * self._block - offset)
        steps: list[Step] = list(
            prepare_steps(inserts, offset, length, self._block, zero=zero, origin_bytes=origin)
        )
        steps += write_steps(targets, offset, length, self._block)
        parts = partial(
            block_writes, targets, inserts, offset, length, self._block, zero=zero, origin_bytes=origin
        )
        return WritePlan(steps, length, inserts, parts, epoch=epoch)

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
        self._check_not_failed()
        begin, end = whole_blocks(offset, length, self._block)
        if pool.mode > PoolMode.OUT_OF_DATA_SPACE or begin == end:
            return DiscardPlan([])
        self._check_not_remapping(range(begin, end))
        if pool.passes_down:
            with pool.looking():
                mapped = list(join(pool.metadata.entries(self.thin_id, begin, end)))
            plan = DiscardPlan([], epoch=pool.epoch)
            try:
                with pool.changing("discard"):
                    self._unmap_and_hold(plan, mapped)
            except DeviceMapperError:
                # What was unmapped before the failure comes to its second stage all the same.
                self.complete(plan)
                raise
            return plan
        with pool.changing("discard"):
            # One removal for each request that the block layer makes of the range.
            for first in range(begin - begin % MAX_RANGE, end, MAX_RANGE):
                pool.metadata.remove_range(self.record, max(begin, first), min(end, first + MAX_RANGE))
        return DiscardPlan([])

    def _unmap_and_hold(self, plan: DiscardPlan, mapped: list[Run]) -> None:
        """Unmap run by run, the first stage of two (process_prepared_discard_passdown_pt1)."""
        pool, metadata = self._pool, self._pool.metadata
        passed: list[tuple[int, int]] = []
        for run in cut(mapped, self.record.snapshotted_time):
            metadata.remove_range(self.record, run.vblock, run.vblock + run.length)
            data_end = run.data_block + run.length
            metadata.increment(run.data_block, data_end)
            pool.in_flight.add(range(run.data_block, data_end))
            plan.held.append((run.data_block, data_end))
            passed += unreferenced(run, lambda block: metadata.data.count(block) == 1)
        plan.steps += [
            PassDown(first * self._block, count * self._block) for first, count in requests(passed)
        ]

    def plan_flush(self) -> list[Step]:
        """Return a commit when this device changed since the last one, else a flush of the data device.

        EIO in a failed pool, when changes were lost with an aborted transaction, or can't be committed.
        A pool that gives out no blocks takes a flush for a write to block 0: when that is not mapped, the
        flush is Unserviceable (dm-thin.c, __process_bio_read_only).
        """
        self._check_not_failed()
        pool = self._pool
        if pool.mode is not PoolMode.WRITE and not self._find(0, self._block):
            raise pool.unserviceable()
        if self.record.lost_changes:
            raise DeviceMapperError(
                errno.EIO, f"changes of thin {self.thin_id} were lost with their transaction"
            )
        if not self.record.changed:
            return [FlushData()]
        if pool.mode > PoolMode.OUT_OF_DATA_SPACE:
            raise DeviceMapperError(errno.EIO, "the pool is read-only and can't commit")
        return [Commit()]

    def complete(self, plan: WritePlan | DiscardPlan) -> None:
        """Every step was carried out: make a write's mappings visible, drop a discard's references.

        EIO when the transaction was aborted meanwhile: a write is not mapped, a discard fails the pool.
        """
        plan.close()
        pool = self._pool
        if isinstance(plan, DiscardPlan):
            pool.drop_held(plan.held, plan.epoch)
            return
        if plan.remaps and not self._land(plan, plan.inserts):
            raise DeviceMapperError(errno.EIO, "the pool became read-only during the write")

    def abandon(self, plan: WritePlan | DiscardPlan, written: Collection[Insert] = ()) -> None:
        """A step failed: of a write the blocks *written* all the same are mapped, the others stay allocated.

        A discard completes.
        """
        if isinstance(plan, DiscardPlan):
            self.complete(plan)
            return
        plan.close()
        self._land(plan, written)

    def _map(self, blocks: list[tuple[int, int]]) -> None:
        """Map virtual to data blocks, which are in flight no more."""
        with self._pool.changing("insertion of a mapping"):
            for vblock, data_block in blocks:
                self._pool.metadata.insert(self.record, vblock, data_block)
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

    def _land(self, plan: WritePlan, written: Collection[Insert]) -> bool:
        """End the flight of *plan* and map what was *written*; return False where nothing can be mapped."""
        pool = self._pool
        outstanding = pool.remapping.pop(self.thin_id, set())
        outstanding.difference_update(insert.vblock for insert in plan.inserts)
        if outstanding:
            pool.remapping[self.thin_id] = outstanding
        can_map = plan.epoch == pool.epoch and pool.mode <= PoolMode.OUT_OF_DATA_SPACE
        landed = written if can_map else ()
        lost = [insert.data_block for insert in plan.inserts if insert not in landed]
        if lost:
            pool.leak(lost, plan.epoch)
        if landed:
            self._map([(insert.vblock, insert.data_block) for insert in landed])
        return can_map

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

    def _check_not_failed(self) -> None:
        if self._pool.mode is PoolMode.FAIL:
            raise DeviceMapperError(errno.EIO, f"thin {self.thin_id} is lost: the pool failed")
