"""The running transaction of a pool: its commit, its failure, and the blocks it gives out.

Behaviour of dm-thin.c (commit, metadata_operation_failed, alloc_data_block).
"""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from thinsim.errors import DeviceMapperError, KernelError
from thinsim.thin.ids import ThinId
from thinsim.thin.in_flight import InFlight
from thinsim.thin.metadata.blocks import BlockNotResidentError
from thinsim.thin.metadata.errors import reason
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.modes import Modes, PoolMode
from thinsim.thin.space_errors import NoDataSpace, NotWritable, OutOfDataSpace, Unserviceable

log = logging.getLogger(__name__)


class Transaction:
    """What a pool changes between two commits. The engine's own modules use it; users take ``Pool``.

    *epoch* counts the aborted transactions: a plan of another epoch has lost its blocks. *remapping* are
    the virtual blocks of each device with a remapping write outstanding.
    """

    def __init__(self, metadata: PoolMetadata) -> None:
        self.metadata = metadata
        self.epoch = 0
        self.modes = Modes(self._set_read_only)
        self.modes.needs_check = metadata.superblock.needs_check
        self.in_flight = InFlight()
        self.remapping: dict[ThinId, set[int]] = {}

    @property
    def mode(self) -> PoolMode:
        """The pool's mode."""
        return self.modes.mode

    @property
    def changed(self) -> bool:
        """Whether a commit would change anything: the metadata, or the mode, which follows what is free."""
        if self.metadata.uncommitted:
            return True
        if self.mode is PoolMode.OUT_OF_DATA_SPACE and self.metadata.data.nr_free > 0:
            return True
        return self.mode <= PoolMode.OUT_OF_DATA_SPACE and not self.metadata.free_blocks

    def commit(self) -> None:
        """Flush the data device, then make the transaction durable; the mode follows what is free then.

        EINVAL while the metadata is read-only; EIO when it fails: the transaction is aborted.
        """
        if self.mode > PoolMode.OUT_OF_DATA_SPACE:
            raise DeviceMapperError(errno.EINVAL, "the pool's metadata is read-only: commit refused")
        with self.changing("commit"):
            self.metadata.commit()
        if not self.metadata.free_blocks:
            log.error("no free metadata blocks")
            self.modes.switch(PoolMode.OUT_OF_METADATA_SPACE)
        elif self.mode is PoolMode.OUT_OF_DATA_SPACE and self.metadata.data.nr_free:
            self.modes.switch(PoolMode.WRITE)

    @contextmanager
    def changing(self, what: str, *, ends_bio: bool = True) -> Iterator[None]:
        """Change metadata; when that fails, return to the last commit and raise EIO, what a bio ends with.

        Who is no bio gets the errno of the failure. What is refused (DeviceMapperError) is no failure.
        """
        try:
            yield
        except (DeviceMapperError, BlockNotResidentError):
            raise
        except (KernelError, OSError) as error:
            log.error("metadata operation %s failed: %s", what, reason(error))
            self.abort()
            number = errno.EIO if ends_bio else error.errno or errno.EIO
            raise DeviceMapperError(number, f"{what} failed: {reason(error)}") from error

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look something up; what is damaged or can't be read is EIO for who asked, and nothing else."""
        try:
            yield
        except DeviceMapperError:
            raise
        except (KernelError, OSError) as error:
            log.error("metadata can't be read: %s", reason(error))
            raise DeviceMapperError(errno.EIO, f"metadata can't be read: {reason(error)}") from error

    def abort(self) -> None:
        """Return to the last commit, read-only and in need of a check (metadata_operation_failed).

        A pool that can't even do that, or was read-only already, has failed.
        """
        self.epoch += 1
        self.in_flight = InFlight()
        try:
            self.metadata.abort()
            self.metadata.set_needs_check()
        except (KernelError, OSError) as error:
            log.error("cannot return to the last commit and mark it as in need of a check: %s", reason(error))
            self.modes.switch(PoolMode.FAIL)
        self.modes.needs_check = True
        self.modes.switch(PoolMode.READ_ONLY)

    def take_block(self) -> int:
        """Allocate a data block; it is in flight until it is mapped or leaked (alloc_data_block).

        NotWritable in a read-only pool; NoDataSpace or OutOfDataSpace when none is free, after a commit
        to see whether that frees one. Blocks that were all freed in this very transaction don't make
        it commit, as in the kernel: the next commit ends the shortage.
        """
        if self.mode is not PoolMode.WRITE:
            raise self.unserviceable()
        data = self.metadata.data
        self.modes.note_free_blocks(data.nr_free)
        if not data.nr_free:
            self.commit()
            if not self.metadata.data.nr_free:
                raise self._out_of_space()
        with self.changing("allocation of a data block"):
            block = self.metadata.allocate()
        if block is None:
            raise self._out_of_space()
        self.in_flight.add([block])
        if not self.metadata.free_blocks:
            # Before the reserve is used up.
            self.commit()
        return block

    def drop_held(self, runs: list[tuple[int, int]], epoch: int) -> None:
        """A discard ended: drop its references (process_prepared_discard_passdown_pt2).

        When their transaction was aborted meanwhile that can't be done: EIO, and as in the kernel the pool,
        read-only by then, fails.
        """
        if not runs:
            return
        if epoch != self.epoch:
            log.error("metadata operation end of a discard failed: its transaction was aborted")
            self.abort()
            raise DeviceMapperError(errno.EIO, "the discard's transaction was aborted")
        with self.changing("end of a discard"):
            for begin, end in runs:
                self.in_flight.remove(range(begin, end))
                self.metadata.decrement(begin, end)

    def leak(self, blocks: list[int], epoch: int) -> None:
        """A write failed: its *blocks* stay allocated, unless their transaction is gone altogether.

        Only a repair of the metadata gives them back, as in the kernel.
        """
        if epoch == self.epoch:
            self.in_flight.remove(blocks)

    def unserviceable(self) -> Unserviceable:
        """Return what a request that needs a block meets in this mode (handle_unserviceable_bio)."""
        if self.mode is not PoolMode.OUT_OF_DATA_SPACE:
            return NotWritable()
        if self.modes.error_if_no_space:
            return NoDataSpace("no free data block")
        return OutOfDataSpace("no free data block, the write may wait")

    def _out_of_space(self) -> Unserviceable:
        if self.mode <= PoolMode.OUT_OF_DATA_SPACE:
            self.modes.switch(PoolMode.OUT_OF_DATA_SPACE)
        return self.unserviceable()

    def _set_read_only(self, read_only: bool) -> None:
        self.metadata.blocks.read_only = read_only
