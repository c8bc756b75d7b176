"""An opened thin device tells what a request on it means for the data device.

Behaviour of dm-thin.c (thin_bio_map, process_bio, provision_block, break_sharing, passdown).
Offsets and lengths are bytes within the device.
"""

import errno
from collections.abc import Collection

from thinsim.errors import DeviceMapperError
from thinsim.thin.allocation import unserviceable
from thinsim.thin.device_mappings import DeviceMappings
from thinsim.thin.discard import end_discard, plan_discard
from thinsim.thin.ids import ThinId
from thinsim.thin.mapping import Insert
from thinsim.thin.metadata.details import ThinRecord
from thinsim.thin.modes import PoolMode
from thinsim.thin.outstanding import DiscardPlan, WritePlan
from thinsim.thin.plan import Commit, FlushData, PlanStep, ReadStep
from thinsim.thin.provisioning import end_write, needs_remap, plan_write
from thinsim.thin.reading import read_steps
from thinsim.thin.settings import PoolSettings
from thinsim.thin.status import ThinStatus
from thinsim.thin.transaction import Transaction
from thinsim.units import Sectors, bytes_of


class ThinDevice:
    """A thin device between ``Pool.open_thin`` and ``Pool.close_thin``; *length* is this table's, in sectors.

    *origin_bytes* is the size of its external origin, None without one: what is not mapped is read there.

    A plan changes what is mapped only when it is handed back: ``complete`` after its steps were
    carried out, ``abandon`` after one failed. Two requests of which one changes the mapping of a
    block may not be outstanding on that block; keeping them apart is the executor's work.
    """

    def __init__(
        self,
        transaction: Transaction,
        settings: PoolSettings,
        record: ThinRecord,
        length: Sectors,
        origin_bytes: int | None = None,
    ) -> None:
        self.record = record
        self.length = length
        self.origin_bytes = origin_bytes
        self._transaction = transaction
        self._settings = settings
        self._block = bytes_of(settings.block_size)
        self._mappings = DeviceMappings(transaction, record, self._block)

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
        return self.record.mapped_blocks * self._settings.block_size

    def status(self) -> ThinStatus:
        """Return what ``dmsetup status`` shows; mapped sectors count whole blocks, beyond the end, too.

        A device that was lost with its transaction has an error instead.
        """
        if self._transaction.mode is PoolMode.FAIL:
            return ThinStatus(0, None, "Fail")
        try:
            with self._transaction.looking():
                highest = self._transaction.metadata.highest(self.thin_id)
        except DeviceMapperError:
            return ThinStatus(0, None, "Error")
        size = self._settings.block_size
        return ThinStatus(self.mapped_sectors, None if highest is None else (highest + 1) * size - 1)

    def plan_read(self, offset: int, length: int) -> list[ReadStep]:
        """Return the steps of a read. EIO: past the end, or a failed pool.

        Unmapped blocks read as zeros, or as the external origin. A pool that can't provision does not
        look where that ends, so that the device itself refuses (__process_bio_read_only).
        """
        self._check_request(offset, length)
        self._check_not_failed()
        origin_end = self.origin_bytes or 0
        if self.origin_bytes is not None and self._transaction.mode is not PoolMode.WRITE:
            origin_end = offset + length
        return read_steps(self._mappings.find(offset, length), offset, length, self._block, origin_end)

    def needs_remap(self, offset: int, length: int) -> bool:
        """Return whether a write there would provision a block or break sharing; EIO in a failed pool."""
        if length == 0:
            return False
        self._check_not_failed()
        return needs_remap(self._mappings, offset, length)

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
        zero = not self._settings.features.skip_block_zeroing
        return plan_write(self._mappings, offset, length, zero=zero, origin_bytes=self.origin_bytes or 0)

    def plan_discard(self, offset: int, length: int) -> DiscardPlan:
        """Unmap the blocks wholly inside the range and return what to pass down.

        The blocks keep a reference until ``complete``, so that nobody gets them while the discard
        of their content is under way. EOPNOTSUPP under ignore_discard, EINVAL past the end, EIO in a
        failed pool or when the metadata fails; in a read-only pool the discard succeeds and does nothing.
        """
        if self._settings.features.ignore_discard:
            raise DeviceMapperError(errno.EOPNOTSUPP, "the pool ignores discards")
        if offset < 0 or length < 0 or offset + length > bytes_of(self.length):
            raise DeviceMapperError(errno.EINVAL, f"discard of {length} bytes at {offset} is past the end")
        self._check_not_failed()
        return plan_discard(self._mappings, offset, length, passes_down=self._settings.passes_down)

    def plan_flush(self) -> list[PlanStep]:
        """Return a commit when this device changed since the last one, else a flush of the data device.

        EIO in a failed pool, when changes were lost with an aborted transaction, or can't be committed.
        A pool that gives out no blocks takes a flush for a write to block 0: when that is not mapped, the
        flush is Unserviceable (dm-thin.c, __process_bio_read_only).
        """
        self._check_not_failed()
        transaction = self._transaction
        if transaction.mode is not PoolMode.WRITE and not self._mappings.find(0, self._block):
            raise unserviceable(transaction.modes)
        if self.record.lost_changes:
            raise DeviceMapperError(
                errno.EIO, f"changes of thin {self.thin_id} were lost with their transaction"
            )
        if not self.record.changed:
            return [FlushData()]
        if transaction.mode > PoolMode.OUT_OF_DATA_SPACE:
            raise DeviceMapperError(errno.EIO, "the pool is read-only and can't commit")
        return [Commit()]

    def complete(self, plan: WritePlan | DiscardPlan) -> None:
        """Every step was carried out: make a write's mappings visible, drop a discard's references.

        EIO when the transaction was aborted meanwhile: a write is not mapped, a discard fails the pool.
        """
        if isinstance(plan, DiscardPlan):
            end_discard(self._transaction, plan)
        elif not end_write(self._mappings, plan, plan.inserts):
            raise DeviceMapperError(errno.EIO, "the pool became read-only during the write")

    def abandon(self, plan: WritePlan | DiscardPlan, written: Collection[Insert] = ()) -> None:
        """A step failed: of a write the blocks *written* all the same are mapped, the others stay allocated.

        A discard completes.
        """
        if isinstance(plan, DiscardPlan):
            end_discard(self._transaction, plan)
        else:
            end_write(self._mappings, plan, written)

    def _check_request(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > bytes_of(self.length):
            raise DeviceMapperError(errno.EIO, f"{length} bytes at {offset} are past the end of the device")

    def _check_not_failed(self) -> None:
        if self._transaction.mode is PoolMode.FAIL:
            raise DeviceMapperError(errno.EIO, f"thin {self.thin_id} is lost: the pool failed")
