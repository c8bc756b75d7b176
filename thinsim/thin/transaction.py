"""A pool's running transaction ends with a commit, or is aborted (dm-thin.c, commit, abort_transaction)."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from thinsim.errors import DeviceMapperError, KernelError
from thinsim.thin.in_flight import InFlight
from thinsim.thin.metadata.blocks import BlockNotResidentError
from thinsim.thin.metadata.errors import reason
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.modes import Modes, PoolMode
from thinsim.thin.remapping import RemappingBlocks

log = logging.getLogger(__name__)


class Transaction:
    """What a pool and its devices change between two commits: *metadata*, and what no commit saves.

    *modes* are the pool's. *epoch* counts the aborted transactions: a plan of another epoch has lost its
    blocks. *in_flight* holds the data blocks of requests under way, *remapping* the virtual ones that they
    are to map anew.
    """

    def __init__(self, metadata: PoolMetadata) -> None:
        self.metadata = metadata
        self.epoch = 0
        self.modes = Modes(self._set_read_only)
        self.modes.needs_check = metadata.superblock.needs_check
        self.in_flight = InFlight()
        self.remapping = RemappingBlocks()

    @property
    def mode(self) -> PoolMode:
        """The pool's mode."""
        return self.modes.mode

    @property
    def changed(self) -> bool:
        """Whether a commit would change anything: the metadata, or the mode, which follows what is free."""
        if self.metadata.transaction.uncommitted:
            return True
        if self.mode is PoolMode.OUT_OF_DATA_SPACE and self.metadata.data.nr_free > 0:
            return True
        return self.mode <= PoolMode.OUT_OF_DATA_SPACE and not self.metadata.transaction.free_blocks

    def commit(self) -> None:
        """Flush the data device, then make the transaction durable; the mode follows what is free then.

        EINVAL while the metadata is read-only; EIO when it fails: the transaction is aborted.
        """
        if self.mode > PoolMode.OUT_OF_DATA_SPACE:
            raise DeviceMapperError(errno.EINVAL, "the pool's metadata is read-only: commit refused")
        with self.changing("commit"):
            self.metadata.commit()
        if not self.metadata.transaction.free_blocks:
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
            self.metadata.transaction.abort()
            self.metadata.transaction.set_needs_check()
        except (KernelError, OSError) as error:
            log.error("cannot return to the last commit and mark it as in need of a check: %s", reason(error))
            self.modes.switch(PoolMode.FAIL)
        self.modes.needs_check = True
        self.modes.switch(PoolMode.READ_ONLY)

    def _set_read_only(self, read_only: bool) -> None:
        self.metadata.blocks.read_only = read_only
