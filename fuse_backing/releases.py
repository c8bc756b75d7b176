"""`SpaceReleases` frees the space of files that have lost their last name, and records what the host freed.

The host frees such a file with its last user. The space is measured before and after, as for every other
event; so the server truncates the file first, and then closes it. It does so only if it is certainly the last
user of the file, which a lease shows: fcntl(2), F_SETLEASE.
"""

import errno
import fcntl
import os
import time
from dataclasses import dataclass

import trio

from fuse_backing.accounting.interface import HostAccounting
from fuse_backing.descriptor_calls import path_of
from fuse_backing.faults import Operation
from fuse_backing.ledger import Ledger
from fuse_backing.sparsefile import AllocationChange, SparseFile

_WAITS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6)
"""Seconds between looks whether another process still has the file open.

The kernel closes the backing file of a passthrough a little later than the file on the mount.
"""


@dataclass(frozen=True, slots=True)
class _Release:
    """A `_Release` is what the host did when the space of a file of *size* bytes was freed."""

    size: int
    began: float
    change: AllocationChange


class SpaceReleases:
    """A `SpaceReleases` frees the files of one mount."""

    def __init__(self, accounting: HostAccounting, ledger: Ledger) -> None:
        self._accounting = accounting
        self._ledger = ledger

    async def release(self, path: str, place: int) -> None:
        """Free a regular file without a name, and close *place*, an O_PATH descriptor of it.

        The event has the *path*. There is none for an empty file, and none if another process keeps the file
        open on the host: the host then frees its space when that process closes it.
        """
        fd, found = await trio.to_thread.run_sync(self._freed_at_once, place)
        if found is None and fd is not None:
            found = await self._freed_later(fd)
        if found is None:
            return
        self._ledger.record(
            time=found.began,
            file=path,
            operation=Operation.RELEASE,
            mode=0,
            offset=0,
            length=found.size,
            allocated=found.change.allocated,
            freed=found.change.freed,
            errno=found.change.errno,
            duration=found.change.duration,
        )

    def _freed_at_once(self, place: int) -> tuple[int | None, _Release | None]:
        """Free a file, unless it has other users: then return a descriptor of it. Close *place*."""
        try:
            fd = _opened(place)
        finally:
            os.close(place)
        if fd is None:
            return None, None
        try:
            if not _is_only_user(fd):
                return fd, None
            found = self._freed(fd)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None, found

    async def _freed_later(self, fd: int) -> _Release | None:
        """Free a file when its other users have closed it, and close *fd*; None if they keep it open."""
        try:
            for wait in _WAITS:
                await trio.sleep(wait)
                if _is_only_user(fd):
                    return await trio.to_thread.run_sync(self._freed, fd)
            return None
        finally:
            await trio.to_thread.run_sync(os.close, fd)

    def _freed(self, fd: int) -> _Release:
        file, began = SparseFile(fd, self._accounting), time.time()
        size = file.size
        return _Release(size, began, file.truncate(0))


def _opened(place: int) -> int | None:
    """Open a file to truncate it; None if it holds no space, has a name, or cannot be opened for writing."""
    status = os.fstat(place)
    if status.st_nlink > 0 or status.st_blocks == 0:
        return None
    try:
        return os.open(path_of(place), os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None


def _is_only_user(fd: int) -> bool:
    """Return whether no other open file description of the file exists."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP):
            raise
        return False
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True
