"""`AllocationChanges` changes a served file's allocation, one change at a time, and records each change.

Punches that the channel's thread would serve by itself (``shortcut``) are held off meanwhile.
"""

import os
import time
from dataclasses import replace

import trio

from fuse_backing.accounting.interface import HostAccounting
from fuse_backing.faults import FaultKind, Operation, Strike
from fuse_backing.inode import Inode
from fuse_backing.ledger import Ledger
from fuse_backing.shortcut import Shortcut
from fuse_backing.sparsefile import AllocationChange, SparseFile
from fuse_backing.system_calls import FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE

INLINE_LIMIT = 1 << 20
"""Longest range, in bytes, of a fallocate that runs in the event loop; a longer one runs in a thread."""


class AllocationChanges:
    """An `AllocationChanges` makes and records the changes of the files of one mount."""

    def __init__(self, accounting: HostAccounting, ledger: Ledger, shortcut: Shortcut) -> None:
        self._accounting = accounting
        self._ledger = ledger
        self._shortcut = shortcut

    async def fallocate(
        self, inode: Inode, fd: int, mode: int, offset: int, length: int, strike: Strike | None
    ) -> None:
        """Allocate, punch or zero the open file *fd* of *inode*, or do the part of it that *strike* allows.

        This is fallocate(2). A punch or zero range is recorded even if the host refuses it. Raises OSError.
        """
        async with inode.changing:
            with self._shortcut.changing(inode):
                await self._fallocate(inode, fd, recorded_as(mode), strike, mode, offset, length)

    async def truncate(self, inode: Inode, fd: int, size: int) -> None:
        """Set the size of the open file *fd* of *inode* to *size* bytes; record the removed range.

        Raises OSError.
        """
        async with inode.changing:
            with self._shortcut.changing(inode):
                file, began = SparseFile(fd, self._accounting), time.time()
                before = file.size
                if size > before:
                    await trio.to_thread.run_sync(os.ftruncate, fd, size)
                    return
                change = await trio.to_thread.run_sync(file.truncate, size)
        # Even at the same size the host may free bytes that it has allocated beyond the end.
        if size < before or change.freed or change.errno:
            length = max(before - size, change.freed)
            self._record(inode, Operation.TRUNCATE, 0, size, length, change, began, None)
        if change.errno:
            raise OSError(change.errno, os.strerror(change.errno))

    async def _fallocate(
        self,
        found: Inode,
        fh: int,
        operation: Operation | None,
        strike: Strike | None,
        mode: int,
        offset: int,
        length: int,
    ) -> None:
        file, began = SparseFile(fh, self._accounting), time.time()
        if length <= INLINE_LIMIT and not self._accounting.writes_back:
            change = _changed(file, strike, mode, offset, length)
        else:
            change = await trio.to_thread.run_sync(_changed, file, strike, mode, offset, length)
        if operation is not None:
            kind = None if strike is None else strike.kind
            self._record(found, operation, mode, offset, length, change, began, kind)
        if change.errno:
            raise OSError(change.errno, os.strerror(change.errno))

    def _record(
        self,
        found: Inode,
        operation: Operation,
        mode: int,
        offset: int,
        length: int,
        change: AllocationChange,
        began: float,
        fault: FaultKind | None,
    ) -> None:
        self._ledger.record(
            time=began,
            file=found.path,
            operation=operation,
            mode=mode,
            offset=offset,
            length=length,
            allocated=change.allocated,
            freed=change.freed,
            errno=change.errno,
            duration=change.duration,
            fault=fault,
        )


def recorded_as(mode: int) -> Operation | None:
    """Return the operation to record for a fallocate of *mode* (FALLOC_FL_*), or None if it frees nothing."""
    if mode & FALLOC_FL_PUNCH_HOLE:
        return Operation.PUNCH
    if mode & FALLOC_FL_ZERO_RANGE:
        return Operation.ZERO
    return None


def _changed(
    file: SparseFile, strike: Strike | None, mode: int, offset: int, length: int
) -> AllocationChange:
    """Do a fallocate, or the part of it that a planned fault allows."""
    if strike is None or strike.kind not in (FaultKind.PARTIAL, FaultKind.LIE):
        return file.change(mode, offset, length)
    allocated = file.allocated_in(offset, length)
    done = min(strike.bytes, length)  # 0 for a lie
    if done == 0:
        return AllocationChange(allocated, 0, 0, 0.0)
    return replace(file.change(mode, offset, done), allocated=allocated)
