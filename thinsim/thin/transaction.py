"""`Transaction` is a pool's running transaction; a commit or an abort ends it (dm-thin.c)."""

import errno
import logging
from contextlib import AbstractContextManager

from thinsim.errors import DeviceMapperError, KernelError
from thinsim.thin.in_flight import InFlight
from thinsim.thin.metadata.blocks import BlockNotResidentError
from thinsim.thin.metadata.errors import reason
from thinsim.thin.metadata.pool_metadata import PoolMetadata
from thinsim.thin.modes import Modes, PoolMode
from thinsim.thin.remapping import RemappingBlocks

log = logging.getLogger(__name__)


class Transaction:
    """A `Transaction` holds the changes between two commits: *metadata*, and state that no commit saves.

    *modes* are the pool's modes. *epoch* counts the aborted transactions: a plan of an earlier epoch has
    lost its blocks. *in_flight* has the data blocks of outstanding requests, *remapping* the virtual blocks
    that outstanding writes will remap.
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
        """Return the pool's mode."""
        return self.modes.mode

    @property
    def changed(self) -> bool:
        """Return whether a commit would change the metadata, or the mode because of the free blocks."""
        if self.metadata.transaction.uncommitted:
            return True
        if self.mode is PoolMode.OUT_OF_DATA_SPACE and self.metadata.data.nr_free > 0:
            return True
        return self.mode <= PoolMode.OUT_OF_DATA_SPACE and not self.metadata.transaction.free_blocks

    def commit(self) -> None:
        """Flush the data device, make the transaction durable, then set the mode by the free blocks.

        Raises EINVAL while the metadata is read-only. Raises EIO when the commit fails: the transaction is
        then aborted.
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

    def changing(self, what: str, *, ends_bio: bool = True) -> AbstractContextManager[None]:
        """Run a change of the metadata; if it fails, return to the last commit and raise EIO.

        A bio ends with EIO. Without *ends_bio*, raises the errno of the failure. A refusal
        (DeviceMapperError) is not a failure and passes through. *what* names the operation in the error.
        """
        return _Changing(self, what, ends_bio)

    def looking(self) -> AbstractContextManager[None]:
        """Run a look-up; raise EIO if the metadata is damaged or can't be read, and change nothing."""
        return _LOOKING

    def abort(self) -> None:
        """Return to the last commit; the pool is read-only and needs a check (metadata_operation_failed).

        The pool fails if it can't return to the last commit, or if it was read-only before.
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


# A write enters these once per block, and a generator with contextmanager takes several times as long.


class _Changing(AbstractContextManager[None]):
    """A `_Changing` ends the transaction if the change fails."""

    __slots__ = ("_ends_bio", "_transaction", "_what")

    def __init__(self, transaction: Transaction, what: str, ends_bio: bool) -> None:
        self._transaction = transaction
        self._what = what
        self._ends_bio = ends_bio

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None or isinstance(error, DeviceMapperError | BlockNotResidentError):
            return
        if isinstance(error, KernelError | OSError):
            log.error("metadata operation %s failed: %s", self._what, reason(error))
            self._transaction.abort()
            number = errno.EIO if self._ends_bio else error.errno or errno.EIO
            raise DeviceMapperError(number, f"{self._what} failed: {reason(error)}") from error


class _Looking(AbstractContextManager[None]):
    """A `_Looking` names the failure of a look-up."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, KernelError | OSError) and not isinstance(error, DeviceMapperError):
            log.error("metadata can't be read: %s", reason(error))
            raise DeviceMapperError(errno.EIO, f"metadata can't be read: {reason(error)}") from error


_LOOKING = _Looking()
