"""`BackingFileSystem` serves one host directory with all below it, and records every punch in the ledger.

Each write has reached the host's file when it returns, so ``st_blocks`` and the ledger are never behind the
writes: either the kernel serves data from a backing file, or files are opened with direct I/O. (With direct
I/O, a served file has no shared writable mmap.)

Names and attributes are served by the channel, and a truncation comes here first. Reads, writes and punches
reach this module only if neither the kernel nor the channel serves them (``shortcut``). Reads and writes then
run in the event loop, since the switch to a thread costs more than they do. Slow operations (fsync,
truncation, large punches) run in threads.
"""

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator

import pyfuse3
import trio

from fuse_backing.accounting.interface import HostAccounting
from fuse_backing.changes import AllocationChanges, recorded_as
from fuse_backing.descriptor_calls import path_of
from fuse_backing.extension import native
from fuse_backing.faults import FaultKind, Operation
from fuse_backing.host_tree import is_regular
from fuse_backing.injection import Injector
from fuse_backing.inode import Inode
from fuse_backing.inodes import InodeTable
from fuse_backing.ledger import Ledger
from fuse_backing.operations import FileOperations
from fuse_backing.releases import SpaceReleases
from fuse_backing.shortcut import Shortcut
from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE

log = logging.getLogger(__name__)

_MODES = frozenset(
    {
        0,
        FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
    }
)


class BackingFileSystem(FileOperations):
    """A `BackingFileSystem` serves the directory open as *directory_fd*, which its opener closes.

    The channel serves its names (``native/names``). Call ``close`` after the unmount.
    """

    enable_acl = True

    def __init__(
        self,
        directory_fd: int,
        accounting: HostAccounting,
        ledger: Ledger,
        shortcut: Shortcut,
        injector: Injector,
    ) -> None:
        super().__init__()
        self._directory = directory_fd
        self._inodes = InodeTable(directory_fd)
        self._accounting = accounting
        self._injector = injector
        self._changes = AllocationChanges(accounting, ledger, shortcut)
        self._releases = SpaceReleases(accounting, ledger)
        self._warned: set[str] = set()

    @property
    def names(self) -> native.Names:
        """Return the table of the files that the kernel knows, for the channel."""
        return self._inodes.names

    @property
    def has_handles(self) -> bool:
        """Return whether known files can be opened by handles, so that few descriptors are needed."""
        return self._inodes.has_handles

    def open_host_file(self, path: str) -> int:
        """Open a served file to read its extents; the caller closes the descriptor. Raises OSError."""
        place = self._inodes.tree.open_path(os.fsencode(path))
        try:
            if not is_regular(place):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return os.open(path_of(place), os.O_RDONLY | os.O_NONBLOCK)
        finally:
            os.close(place)

    def has_file(self, path: str) -> bool:
        """Return whether the store has a regular file at *path*."""
        try:
            place = self._inodes.tree.open_path(os.fsencode(path))
        except OSError:
            return False
        try:
            return is_regular(place)
        finally:
            os.close(place)

    def served_files(self) -> Iterator[str]:
        """Yield the paths of the regular files. Raises OSError."""
        return self._inodes.tree.regular_files()

    def close(self) -> None:
        """Close all files that the kernel had open or remembered at the end of the session."""
        self._inodes.close()

    # Data

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Read up to *size* bytes; fewer at the end of the file."""
        if self._injector.active:
            await self._injector.strike_data(Operation.READ, self._path_of(fh), off, size)
        return os.pread(fh, size, off)

    async def write(
        self, fh: int, off: int, buf: bytes | memoryview, ended: Callable[[], object] | None = None
    ) -> int:
        """Write all of *buf*; raise an error even if a part is written.

        A loop device treats a short write as a complete one: drivers/block/loop.c, lo_complete_rq.
        """
        if self._injector.active:
            await self._injector.strike_data(Operation.WRITE, self._path_of(fh), off, len(buf))
        done = os.pwrite(fh, buf, off)
        while done < len(buf):
            more = os.pwrite(fh, memoryview(buf)[done:], off + done)
            if more == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            done += more
        return done

    async def fsync(self, fh: int, datasync: bool) -> None:
        """Make data durable on the host."""
        if self._injector.active:
            strike = await self._injector.strike_data(Operation.FSYNC, self._path_of(fh))
            if strike is not None and strike.kind is FaultKind.LIE:
                return
        await trio.to_thread.run_sync(os.fdatasync if datasync else os.fsync, fh)

    async def lseek(self, inode: int, fh: int, offset: int, whence: int) -> int:
        """Find data or a hole in the host's file."""
        return os.lseek(fh, offset, whence)

    async def fallocate(self, inode: int, fh: int, mode: int, offset: int, length: int) -> None:
        """Pass an allocation, punch or zero range down to the host.

        The ledger records punches and zero ranges, even refused ones. EOPNOTSUPP for all other modes (the
        kernel does not send them): collapsing a range would free and move bytes. EOPNOTSUPP also for an
        allocation on a host that can't show later how much of it is still allocated.
        """
        found = self._inodes.open_as(fh)
        if found is None:
            raise pyfuse3.FUSEError(errno.EBADF)
        if mode not in _MODES or (
            not mode & FALLOC_FL_PUNCH_HOLE and not self._accounting.sees_preallocation
        ):
            raise pyfuse3.FUSEError(errno.EOPNOTSUPP)
        operation, strike = recorded_as(mode), None
        if operation is not None and self._injector.active:
            strike = await self._injector.strike(operation, found.path, mode, offset, length)
        await self._changes.fallocate(found, fh, mode, offset, length, strike)

    async def truncate(self, inode: int, fh: int | None, size: int, uid: int) -> None:
        """Set the size of a file, and record what that frees; the handle *fh* may be open.

        A user other than root (*uid*) thereby loses the file's bits suid and sgid.
        """
        found = self._inodes.get(inode)
        if uid != 0:
            self._clear_privileges(found)
        if fh is not None and self._inodes.open_as(fh) is found:
            await self._changes.truncate(found, fh, size)
            return
        with self._inodes.descriptor(found) as place:
            fd = os.open(path_of(place), os.O_WRONLY)
        try:
            await self._changes.truncate(found, fd, size)
        finally:
            os.close(fd)

    async def released(self, path: str, fd: int) -> None:
        """Free the space of a removed file that nobody uses any more, and close *fd*."""
        await self._releases.release(path, fd)

    async def mounted_over(self, path: str) -> None:
        """Warn once of another file system that is mounted in the tree."""
        if path not in self._warned:
            self._warned.add(path)
            log.warning("%s: another file system is mounted there; the store does not serve it", path)

    async def passthrough_refused(self, path: str) -> None:
        """Warn that the server serves the data of a file."""
        log.warning("no passthrough for %s: the kernel refuses its backing file", path)

    async def statfs_of(self, inode: int) -> pyfuse3.StatvfsData:
        """Return the host file system's numbers; a loop device takes its discard granularity from f_bsize."""
        host = os.fstatvfs(self._directory)
        stats = pyfuse3.StatvfsData()
        for field in ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "namemax"):
            setattr(stats, f"f_{field}", getattr(host, f"f_{field}"))
        return stats

    def _clear_privileges(self, inode: Inode) -> None:
        """Clear suid, and sgid of an executable, as the kernel does before a write."""
        with self._inodes.descriptor(inode) as fd:
            mode = os.fstat(fd).st_mode
            kept = mode & ~(stat.S_ISUID | (stat.S_ISGID if mode & stat.S_IXGRP else 0))
            if stat.S_ISREG(mode) and kept != mode:
                os.chmod(path_of(fd), stat.S_IMODE(kept))  # noqa: PTH101  (a magic link, not a path)

    def _path_of(self, fh: int) -> str:
        found = self._inodes.open_as(fh)
        if found is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return found.path
