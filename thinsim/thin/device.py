"""An opened thin device: what a read, write, discard or flush means for the data device.

Behaviour of dm-thin.c (thin_bio_map, process_bio, provision_block, break_sharing, passdown).
Offsets and lengths are bytes within the device.
"""

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thinsim.errors import DeviceMapperError
from thinsim.thin.discard import cut, unreferenced, whole_blocks
from thinsim.thin.ids import ThinId
from thinsim.thin.mapping import TIME_BITS, unpack
from thinsim.thin.modes import PoolMode
from thinsim.thin.plan import Commit, FlushData, PassDown, ReadData, ReadStep, ReadZeros, Step
from thinsim.thin.provisioning import Insert, prepare_steps, write_steps
from thinsim.thin.space_errors import CommitNeeded, NoDataSpace, OutOfDataSpace, ShortOfDataSpace
from thinsim.thin.status import ThinStatus
from thinsim.units import Sectors, bytes_of

if TYPE_CHECKING:
    from thinsim.thin.pool import Pool
    from thinsim.thin.records import DeviceRecord

__all__ = [
    "CommitNeeded",
    "DiscardPlan",
    "NoDataSpace",
    "OutOfDataSpace",
    "ShortOfDataSpace",
    "ThinDevice",
    "WritePlan",
]


@dataclass(slots=True)
class WritePlan:
    """The steps of a write, and the mappings that ``complete`` makes visible."""

    steps: list[Step]
    _inserts: list[Insert] = field(default_factory=list)
    _epoch: int = 0
    _open: bool = True

    @property
    def remaps(self) -> bool:
        """Whether the write changes mappings; a plan that doesn't needs no ``complete``."""
        return bool(self._inserts)


@dataclass(slots=True)
class DiscardPlan:
    """The steps of a discard, and the references that ``complete`` drops."""

    steps: list[Step]
    _held: list[int] = field(default_factory=list)
    _epoch: int = 0
    _open: bool = True


class ThinDevice:
    """A thin device between ``Pool.open_thin`` and ``Pool.close_thin``; *length* is this table's, in sectors.

    A plan changes what is mapped only when it is handed back: ``complete`` after its steps were
    carried out, ``abandon`` after one failed. Two requests of which one changes the mapping of a
    block may not be outstanding on that block; keeping them apart is the executor's work.
    """

    def __init__(self, pool: "Pool", thin_id: ThinId, length: Sectors) -> None:
        self.thin_id = thin_id
        self.length = length
        self._pool = pool
        self._block = bytes_of(pool.block_size)

    def status(self) -> ThinStatus:
        """Return what ``dmsetup status`` shows; mapped sectors count whole blocks, beyond the end, too."""
        if self._pool.mode is PoolMode.FAIL:
            return ThinStatus(0, None, "Fail")
        record = self._pool.find_record(self.thin_id)
        if record is None:
            return ThinStatus(0, None, "Error")
        highest = record.state.mappings.highest
        size = self._pool.block_size
        mapped = len(record.state.mappings) * size
        return ThinStatus(mapped, None if highest is None else (highest + 1) * size - 1)

    def plan_read(self, offset: int, length: int) -> list[ReadStep]:
        """Return the steps of a read; unmapped blocks read as zeros. EIO: past the end, or a failed pool."""
        self._check_request(offset, length)
        size = self._block
        get = self._record().state.mappings.get
        steps: list[ReadStep] = []
        position, end = offset, offset + length
        start, count, zeros = 0, 0, True
        while position < end:
            vblock, within = divmod(position, size)
            piece = min(size - within, end - position)
            packed = get(vblock)
            data = 0 if packed is None else (packed >> TIME_BITS) * size + within
            if count and zeros == (packed is None) and (zeros or start + count == data):
                count += piece
            else:
                if count:
                    steps.append(ReadZeros(count) if zeros else ReadData(start, count))
                start, count, zeros = data, piece, packed is None
            position += piece
        if count:
            steps.append(ReadZeros(count) if zeros else ReadData(start, count))
        return steps

    def needs_remap(self, offset: int, length: int) -> bool:
        """Return whether a write there would provision a block or break sharing."""
        if length == 0:
            return False
        state = self._record().state
        get, time = state.mappings.get, state.snapshotted_time
        for vblock in range(offset // self._block, (offset + length - 1) // self._block + 1):
            packed = get(vblock)
            if packed is None or time > unpack(packed)[1]:
                return True
        return False

    def plan_write(self, offset: int, length: int) -> WritePlan:
        """Return the plan of a write; data blocks it needs are taken now, in ascending order.

        Raises CommitNeeded, and DeviceMapperError: ENOSPC as OutOfDataSpace, NoDataSpace or
        ShortOfDataSpace; EIO past the end, in a failed pool, and when a block is needed from a
        read-only one. Nothing is taken when it raises.
        """
        self._check_request(offset, length)
        if length == 0:
            return WritePlan([])
        record = self._record()
        get, time = record.state.mappings.get, record.state.snapshotted_time
        first, last = offset // self._block, (offset + length - 1) // self._block
        targets: list[int] = []
        needing: list[tuple[int, int | None]] = []
        for vblock in range(first, last + 1):
            packed = get(vblock)
            if packed is None:
                needing.append((vblock, None))
                targets.append(-1)
                continue
            data, mapped_at = unpack(packed)
            if time > mapped_at:
                needing.append((vblock, data))
            targets.append(data)
        inserts = self._provision(record, needing, offset) if needing else []
        for insert in inserts:
            targets[insert.vblock - first] = insert.data_block
        zero = not self._pool.features.skip_block_zeroing
        steps: list[Step] = list(prepare_steps(inserts, offset, length, self._block, zero=zero))
        steps += write_steps(targets, offset, length, self._block)
        return WritePlan(steps, inserts, self._pool.epoch)

    def plan_discard(self, offset: int, length: int) -> DiscardPlan:
        """Unmap the blocks wholly inside the range and return what to pass down.

        The blocks keep a reference until ``complete``, so that nobody gets them while the discard
        of their content is under way. EOPNOTSUPP under ignore_discard, EINVAL past the end, EIO in a
        failed pool; in a read-only one the discard succeeds and does nothing.
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
        self._check_not_in_flight(record, range(begin, end))
        state = record.state
        runs = list(cut(state.mappings.runs(begin, end), state.snapshotted_time)) if pool.passes_down else []
        blocks = state.mappings.remove(begin, end)
        if not blocks:
            return DiscardPlan([])
        pool.note_change(record)
        if not pool.passes_down:
            for block in blocks:
                pool.space.decrement(block)
            return DiscardPlan([])
        # The mappings' references pass to the plan, so a block that only the plan refers to counts 1.
        pool.in_flight.add(blocks)
        count = pool.space.count
        steps: list[Step] = [
            PassDown(data_block * self._block, blocks_long * self._block)
            for run in runs
            for data_block, blocks_long in unreferenced(run, lambda block: count(block) == 1)
        ]
        return DiscardPlan(steps, blocks, pool.epoch)

    def plan_flush(self) -> list[Step]:
        """Return a commit when this device changed since the last one, else a flush of the data device.

        EIO in a failed pool, when changes were lost with an aborted transaction, or can't be committed.
        """
        record = self._record()
        if record.lost_changes:
            raise DeviceMapperError(
                errno.EIO, f"changes of thin {self.thin_id} were lost with their transaction"
            )
        if not self._pool.is_uncommitted(record):
            return [FlushData()]
        if self._pool.mode > PoolMode.OUT_OF_DATA_SPACE:
            raise DeviceMapperError(errno.EIO, "the pool is read-only and can't commit")
        return [Commit()]

    def complete(self, plan: WritePlan | DiscardPlan) -> None:
        """Every step was carried out: make a write's mappings visible, drop a discard's references.

        EIO when the transaction of a write was aborted meanwhile: it is not mapped.
        """
        self._close(plan)
        pool = self._pool
        if isinstance(plan, DiscardPlan):
            if plan._epoch == pool.epoch:
                pool.drop_held(plan._held)
            return
        if not plan.remaps:
            return
        blocks = self._land(plan)
        if plan._epoch != pool.epoch or pool.mode > PoolMode.OUT_OF_DATA_SPACE:
            pool.leak(blocks, plan._epoch)
            raise DeviceMapperError(errno.EIO, "the pool became read-only during the write")
        record = self._record()
        for insert in plan._inserts:
            old = record.state.mappings.insert(insert.vblock, insert.data_block, pool.time)
            if old is not None:
                pool.space.decrement(old)
        pool.in_flight.remove(blocks)
        pool.note_change(record)

    def abandon(self, plan: WritePlan | DiscardPlan) -> None:
        """A step failed: a write maps nothing and its blocks stay allocated; a discard completes."""
        if isinstance(plan, DiscardPlan):
            self.complete(plan)
            return
        self._close(plan)
        self._pool.leak(self._land(plan), plan._epoch)

    def _provision(
        self, record: "DeviceRecord", needing: list[tuple[int, int | None]], offset: int
    ) -> list[Insert]:
        vblocks = [vblock for vblock, _ in needing]
        self._check_not_in_flight(record, vblocks)
        available = self._pool.check_space(len(needing))
        if available < len(needing):
            writable = vblocks[available] * self._block - offset
            raise ShortOfDataSpace(f"{available} of {len(needing)} data blocks are left", writable)
        blocks = self._pool.take_blocks(len(needing))
        record.in_flight.update(vblocks)
        return [Insert(vblock, block, old) for (vblock, old), block in zip(needing, blocks, strict=True)]

    def _land(self, plan: WritePlan) -> list[int]:
        """End the flight of *plan*; returns its data blocks."""
        record = self._pool.find_record(self.thin_id)
        if record is not None:
            record.in_flight.difference_update(insert.vblock for insert in plan._inserts)
        return [insert.data_block for insert in plan._inserts]

    def _check_not_in_flight(self, record: "DeviceRecord", vblocks: Iterable[int]) -> None:
        both = record.in_flight.intersection(vblocks) if record.in_flight else None
        if both:
            raise AssertionError(
                f"thin {self.thin_id}: block {min(both)} already has a remapping write outstanding"
            )

    def _check_request(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > bytes_of(self.length):
            raise DeviceMapperError(errno.EIO, f"{length} bytes at {offset} are past the end of the device")

    def _record(self) -> "DeviceRecord":
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
