"""The running transaction of a pool: state, references, and the two steps of a commit.

Behaviour of dm-thin-metadata.c (dm_pool_commit_metadata, dm_pool_abort_metadata) and of the
allocation in dm-thin.c (alloc_data_block).
"""

import errno

from thinsim.errors import DeviceMapperError
from thinsim.thin.allocation import SpaceMap
from thinsim.thin.ids import ThinId
from thinsim.thin.metadata.image import decode, encode
from thinsim.thin.modes import Modes, PoolMode
from thinsim.thin.records import DeviceRecord, InFlight
from thinsim.thin.space_errors import CommitNeeded, NoDataSpace, OutOfDataSpace
from thinsim.thin.state import HeldSnapshot, PoolState


class Transaction:
    """What a pool changes between two commits. The engine's own modules use it; users take ``Pool``.

    *epoch* counts the aborted transactions: a plan of another epoch has lost its blocks.
    """

    def __init__(self, state: PoolState, *, fresh: bool) -> None:
        self.block_size = state.block_size
        self.epoch = 0
        self.modes = Modes()
        self._running, self._durable, self._changed_in = 1, 0, 0
        self._pending: tuple[bytes, int, int] | None = None
        self._load(state)
        self._committed_image = encode(state)
        self._committed_blocks = state.nr_data_blocks
        if fresh:
            self._changed_in = self._running

    @property
    def mode(self) -> PoolMode:
        """The pool's mode."""
        return self.modes.mode

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit; a commit is also what ends out_of_data_space."""
        return self._changed_in > self._durable or (
            self.mode is PoolMode.OUT_OF_DATA_SPACE and self.space.nr_free > 0
        )

    @property
    def committed_image(self) -> bytes:
        """What the last commit wrote."""
        return self._committed_image

    @property
    def committed_blocks(self) -> int:
        """Data blocks of the pool at the last commit."""
        return self._committed_blocks

    def begin_commit(self) -> bytes:
        """Return the image to make durable; ``finish_commit`` follows, or ``abort_commit`` if that fails.

        The data device is flushed before the image is written. EINVAL while the metadata is
        read-only. What changes meanwhile belongs to the next transaction.
        """
        if self.mode > PoolMode.OUT_OF_DATA_SPACE:
            raise DeviceMapperError(errno.EINVAL, "the pool's metadata is read-only: commit refused")
        if self._pending is not None:
            raise AssertionError("a commit is already under way")
        image = encode(self.state())
        self._pending = (image, self._running, self.space.nr_blocks)
        self.space.seal()
        self._running += 1
        return image

    def finish_commit(self) -> None:
        """The image is durable; a pool that has free blocks again leaves out_of_data_space."""
        if self._pending is None:
            raise AssertionError("no commit is under way")
        self._committed_image, self._durable, self._committed_blocks = self._pending
        self._pending = None
        self.space.commit()
        if self.mode is PoolMode.OUT_OF_DATA_SPACE and self.space.nr_free:
            self.modes.switch(PoolMode.WRITE)

    def abort_commit(self) -> bytes:
        """A metadata operation failed: return to the last commit, read-only and in need of a check.

        Returns an image with the needs_check flag for the executor to save; ``fail`` when that fails,
        too. A pool that was read-only already fails at once (dm-thin.c, metadata_operation_failed).
        """
        if self.mode > PoolMode.OUT_OF_DATA_SPACE:
            self.fail()
            return self._committed_image
        state = decode(self._committed_image)
        state.needs_check = True
        self._pending = None
        self.epoch += 1
        before = self.records
        self._load(state)
        for thin_id, record in self.records.items():
            if thin_id in before:
                record.open_count = before[thin_id].open_count
                record.lost_changes = before[thin_id].changed_in > self._durable
        self._running += 1
        self._durable = self._changed_in = self._running - 1
        self._committed_image = encode(state)
        self.modes.switch(PoolMode.READ_ONLY)
        return self._committed_image

    def fail(self) -> None:
        """The metadata can't be written at all: all I/O ends with EIO from now on."""
        self.modes.switch(PoolMode.FAIL)

    def state(self) -> PoolState:
        """Return the running state, sharing its devices; references of requests in flight are left out."""
        return PoolState(
            block_size=self.block_size,
            nr_data_blocks=self.space.nr_blocks,
            transaction_id=self.transaction_id,
            time=self.time,
            needs_check=self.modes.needs_check,
            devices={int(thin_id): record.state for thin_id, record in self.records.items()},
            held=self.held,
            leaked=list(self.leaked),
        )

    def find_record(self, thin_id: ThinId) -> DeviceRecord | None:
        """Return the record of a device, None when unknown."""
        return self.records.get(thin_id)

    def note_change(self, record: DeviceRecord | None = None) -> None:
        """The pool, and the device of *record*, changed in the running transaction."""
        self._changed_in = self._running
        if record is not None:
            record.changed_in = self._running

    def is_uncommitted(self, record: DeviceRecord) -> bool:
        """Whether the device of *record* has changes that are not durable."""
        return record.changed_in > self._durable

    def check_space(self, needed: int) -> int:
        """Return how many of *needed* blocks can be taken now, one at least; see ``alloc_data_block``.

        EIO in a read-only pool. CommitNeeded when no block is free before a commit; ENOSPC when none
        is after it: the pool is out of data space then. Blocks that were all freed in this very
        transaction make no CommitNeeded, as in the kernel: the next commit ends the shortage.
        """
        if self.mode > PoolMode.OUT_OF_DATA_SPACE:
            raise DeviceMapperError(errno.EIO, "the pool is read-only")
        if self.mode is PoolMode.OUT_OF_DATA_SPACE:
            raise self._no_space()
        available = min(needed, self.space.nr_available)
        if available:
            return available
        if not self.space.nr_free and self.changed:
            raise CommitNeeded
        self.modes.note_free_blocks(self.space.nr_free)
        self.modes.switch(PoolMode.OUT_OF_DATA_SPACE)
        raise self._no_space()

    def take_blocks(self, count: int) -> list[int]:
        """Allocate *count* blocks that ``check_space`` promised; in flight until mapped or leaked."""
        blocks = []
        for _ in range(count):
            self.modes.note_free_blocks(self.space.nr_free)
            block = self.space.allocate()
            if block is None:
                raise AssertionError("the space map has fewer blocks available than it says")
            blocks.append(block)
        self.in_flight.add(blocks)
        self.note_change()
        return blocks

    def drop_held(self, blocks: list[int]) -> None:
        """A discard ended: drop its references (dm-thin.c, process_prepared_discard_passdown_pt2)."""
        if not blocks:
            return
        for block in blocks:
            self.space.decrement(block)
        self.in_flight.remove(blocks)
        self.note_change()

    def leak(self, blocks: list[int], epoch: int) -> None:
        """A write failed: its *blocks* stay allocated, unless their transaction is gone altogether."""
        if blocks and epoch == self.epoch:
            self.in_flight.remove(blocks)
            self.leaked += blocks
            self.note_change()

    def _load(self, state: PoolState) -> None:
        self.transaction_id = state.transaction_id
        self.time = state.time
        self.held: HeldSnapshot | None = state.held
        self.leaked = list(state.leaked)
        self.in_flight = InFlight()
        self.space = SpaceMap(state.nr_data_blocks)
        self.records = {ThinId(thin_id): DeviceRecord(device) for thin_id, device in state.devices.items()}
        devices = [*state.devices.values(), *(state.held.devices.values() if state.held else ())]
        for device in devices:
            for run in device.mappings.runs():
                self.space.increment_run(run.data_block, run.length)
        for block in self.leaked:
            self.space.increment(block)
        self.space.seal()
        self.space.commit()
        self.modes.needs_check = state.needs_check

    def _no_space(self) -> NoDataSpace:
        if self.modes.error_if_no_space:
            return NoDataSpace("no free data block")
        return OutOfDataSpace("no free data block, the write may wait")
