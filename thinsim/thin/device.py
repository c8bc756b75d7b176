"""`ThinDevice` is an open thin device; it turns each request into steps on the data device.

It behaves as dm-thin.c (thin_bio_map, process_bio, provision_block, break_sharing, passdown).
Offsets and lengths are bytes within the device.
"""

import errno
from collections.abc import Collection, Iterator

from thinsim.errors import DeviceMapperError
from thinsim.thin.allocation import unserviceable
from thinsim.thin.device_mappings import DeviceMappings
from thinsim.thin.discard import end_discard, plan_discard
from thinsim.thin.ids import ThinId
from thinsim.thin.mapping import Insert
from thinsim.thin.metadata.details import ThinRecord
from thinsim.thin.modes import PoolMode
from thinsim.thin.outstanding import DiscardPlan, WritePlan
from thinsim.thin.passdown import DiscardRun, cut
from thinsim.thin.plan import Commit, FlushData, PlanStep, ReadStep
from thinsim.thin.provisioning import breaks_sharing, end_write, needs_remap, plan_write
from thinsim.thin.reading import read_steps
from thinsim.thin.settings import PoolSettings
from thinsim.thin.status import ThinStatus
from thinsim.thin.transaction import Transaction
from thinsim.units import Sectors, bytes_of


class ThinDevice:
    """A `ThinDevice` is open from ``Pool.open_thin`` until ``Pool.close_thin``.

    *length* is the length in its table, in sectors. *origin_bytes* is the size of its external origin, or
    None without one. Unmapped blocks are read from the external origin.

    A write plan changes mappings only when it is handed back: to ``complete`` after its steps were carried
    out, or to ``abandon`` after one failed. While a request that changes the mapping of a block is
    outstanding, no other request on that block may be; the executor keeps them apart.
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
        """Return the device's thin id."""
        return self.record.thin_id

    @property
    def block(self) -> int:
        """Return the size of a data block, in bytes."""
        return self._block

    @property
    def mapped_sectors(self) -> int:
        """Return the size of all mapped blocks, in sectors."""
        return self.record.mapped_blocks * self._settings.block_size

    def status(self) -> ThinStatus:
        """Return the numbers of ``dmsetup status``.

        Mapped sectors count whole blocks, even past the end of the device. The status of a device that
        was lost with an aborted transaction is ``Error``, and ``Fail`` in a failed pool.
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

    def known_runs(self, begin: int, end: int) -> Iterator[DiscardRun]:
        """Return the runs mapped from virtual block *begin* to before *end*, ascending; EIO as a look-up."""
        return cut(self._mappings.runs(begin, end), self.record.snapshotted_time)

    def plan_read(self, offset: int, length: int) -> list[ReadStep]:
        """Return the steps of a read; EIO past the end and in a failed pool.

        Unmapped blocks are read as zeros, or from the external origin. A pool that can't provision ignores
        where the origin ends, so the origin device itself refuses a read past its end
        (__process_bio_read_only).
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

    def breaks_sharing(self, offset: int, length: int) -> bool:
        """Return whether a write there would replace a shared data block; EIO in a failed pool."""
        if length == 0:
            return False
        self._check_not_failed()
        return breaks_sharing(self._mappings, offset, length)

    def origin_ranges(self, offset: int, length: int) -> list[tuple[int, int]]:
        """Return the (offset, length) pairs that a write there may copy from the external origin.

        A write copies at most its first and its last block, up to the end of the origin. It covers the
        blocks between them.
        """
        size, origin_end = self._block, self.origin_bytes or 0
        first, last = offset // size, (offset + length - 1) // size
        if last - first < 2:
            ranges = [(first * size, (last + 1) * size)]
        else:
            ranges = [(first * size, (first + 1) * size), (last * size, (last + 1) * size)]
        return [(begin, min(end, origin_end) - begin) for begin, end in ranges if begin < origin_end]

    def plan_write(self, offset: int, length: int) -> WritePlan:
        """Return the plan of a write, or of its beginning if data blocks run out.

        The pool allocates the data blocks now, in ascending order, and may commit to get them. Raises
        DeviceMapperError: Unserviceable (NoDataSpace, OutOfDataSpace, NotWritable) if the first block needs
        a data block and gets none; EIO past the end and in a failed pool.
        """
        self._check_request(offset, length)
        if length == 0:
            return WritePlan([], 0)
        self._check_not_failed()
        zero = not self._settings.features.skip_block_zeroing
        return plan_write(self._mappings, offset, length, zero=zero, origin_bytes=self.origin_bytes or 0)

    def plan_discard(self, offset: int, length: int) -> DiscardPlan:
        """Unmap the blocks wholly inside the range; return the plan that passes their discard down.

        The plan holds a reference to each data block until ``complete``, so no write gets the block while
        its content is being discarded. In a read-only pool the discard succeeds and does nothing.
        Raises EOPNOTSUPP under ignore_discard, EINVAL past the end, and EIO in a failed pool or when a
        metadata operation fails.
        """
        if self._settings.features.ignore_discard:
            raise DeviceMapperError(errno.EOPNOTSUPP, "the pool ignores discards")
        if offset < 0 or length < 0 or offset + length > bytes_of(self.length):
            raise DeviceMapperError(errno.EINVAL, f"discard of {length} bytes at {offset} is past the end")
        self._check_not_failed()
        return plan_discard(self._mappings, offset, length, passes_down=self._settings.passes_down)

    def plan_flush(self) -> list[PlanStep]:
        """Return a commit if this device has changed since the last one, else a flush of the data device.

        Raises EIO in a failed pool, when changes were lost with an aborted transaction, and when they can't
        be committed. A pool that can't provision treats a flush as a write to block 0: if that block is
        unmapped, raises Unserviceable (dm-thin.c, __process_bio_read_only).
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
        """End a plan whose steps were carried out: insert a write's mappings, drop a discard's references.

        Raises EIO when the transaction was aborted since: the write's blocks are then not mapped, and a
        discard makes the pool fail.
        """
        if isinstance(plan, DiscardPlan):
            end_discard(self._transaction, plan)
        elif not end_write(self._mappings, plan, plan.inserts):
            raise DeviceMapperError(errno.EIO, "the pool became read-only during the write")

    def abandon(self, plan: WritePlan | DiscardPlan, written: Collection[Insert] = ()) -> None:
        """End a plan of which a step failed.

        The inserts of a write in *written* reached the data device and are mapped; its other blocks stay
        allocated (leaked). A discard ends as in ``complete``.
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
