"""`BackingFileSystem` serves one host directory with all below it, and records every punch in the ledger.

Each write has reached the host's file when it returns, so ``st_blocks`` and the ledger are never behind the
writes: either the kernel serves data from a backing file, or files are opened with direct I/O. (With direct
I/O, a served file has no shared writable mmap.)

Reads, writes and punches reach this module only if neither the kernel nor the channel serves them
(``shortcut``). Reads and writes then run in the event loop, since the switch to a thread costs more than they
do. Slow operations (fsync, truncation, large punches) run in threads.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator

import pyfuse3
import trio

from fuse_backing.accounting.interface import HostAccounting
from fuse_backing.changes import AllocationChanges, recorded_as
from fuse_backing.descriptor_calls import path_of
from fuse_backing.faults import FaultKind, Operation
from fuse_backing.host_tree import check_name, is_regular
from fuse_backing.injection import Injector
from fuse_backing.inode import Inode
from fuse_backing.ledger import Ledger
from fuse_backing.name_tree import NameTree, creating_as
from fuse_backing.releases import SpaceReleases
from fuse_backing.shortcut import Shortcut
from fuse_backing.system_calls import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE

# Without O_APPEND: the kernel sends the offset, which Linux's pwrite would ignore. Without O_DIRECT: buffers
# are not aligned. Without O_TRUNC: truncation is separate, since the ledger must record the bytes it frees.
_HOST_FLAGS = os.O_ACCMODE | os.O_SYNC | os.O_DSYNC


_MODES = frozenset(
    {
        0,
        FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
    }
)


class BackingFileSystem(NameTree):
    """A `BackingFileSystem` serves the directory open as *directory_fd*, which its opener closes.

    Call ``close`` after the unmount.
    """

    def __init__(
        self,
        directory_fd: int,
        accounting: HostAccounting,
        ledger: Ledger,
        shortcut: Shortcut,
        injector: Injector,
    ) -> None:
        super().__init__(directory_fd, shortcut)
        self._accounting = accounting
        self._injector = injector
        self._changes = AllocationChanges(accounting, ledger, shortcut)
        self._releases = SpaceReleases(accounting, ledger)
        self._open: dict[int, Inode] = {}  # a handle is the host's file descriptor

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
        for fd in self._open:
            os.close(fd)
        self._open.clear()
        super().close()

    # Opening

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: pyfuse3.RequestContext
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Create and open a regular file, owned by the caller; open the file if it has appeared meanwhile."""
        check_name(name)
        parent = self._inodes.get(parent_inode)
        at = self._inodes.descriptor(parent)
        host_flags = (flags & _HOST_FLAGS) | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            with creating_as(ctx):
                fd = os.open(name, host_flags, stat.S_IMODE(mode), dir_fd=at)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            inode, _ = self._found(parent, name)
            if inode.kind != stat.S_IFREG:
                raise
            fd = await self._reopen(inode, flags, ctx)
            opened = self._opened(inode, fd)
        else:
            try:
                inode, opened = self._created(parent, name, fd, ctx)
            except BaseException:
                # A caller that was refused must not find the file.
                os.unlink(name, dir_fd=self._inodes.descriptor(parent))
                raise
        inode.lookups += 1
        return opened, self._attributes(inode)

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file."""
        found = self._inodes.get(inode)
        return self._opened(found, await self._reopen(found, flags, ctx))

    async def release(self, fh: int) -> None:
        """Close a file."""
        inode = self._open.pop(fh, None)
        if inode is not None:
            self._shortcut.closed(inode, fh)
            os.close(fh)
            self._inodes.unpin(inode)

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
        found = self._open.get(fh)
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

    async def _truncate(self, inode: Inode, fh: int | None, size: int) -> None:
        if fh is not None and fh in self._open:
            await self._changes.truncate(inode, fh, size)
            return
        fd = self._reopen_as_it_is(inode, os.O_WRONLY)
        try:
            await self._changes.truncate(inode, fd, size)
        finally:
            os.close(fd)

    async def _released(self, path: str, fd: int) -> None:
        await self._releases.release(path, fd)

    def _created(
        self, parent: Inode, name: bytes, fd: int, ctx: pyfuse3.RequestContext
    ) -> tuple[Inode, pyfuse3.FileInfo]:
        """Own and find a new file, whose descriptor is closed on failure."""
        try:
            self._owned(fd, os.fstat(fd), ctx)
            inode, _ = self._found(parent, name)
        except BaseException:
            os.close(fd)
            raise
        return inode, self._opened(inode, fd)

    def _opened(self, inode: Inode, fd: int) -> pyfuse3.FileInfo:
        pinned = False
        try:
            self._inodes.pin(inode)
            pinned = True
            self._shortcut.opened(inode, fd)
        except BaseException:
            if pinned:
                self._inodes.unpin(inode)
            os.close(fd)
            raise
        self._open[fd] = inode
        return pyfuse3.FileInfo(fh=fd, direct_io=True, keep_cache=False)

    async def _reopen(self, inode: Inode, flags: int, ctx: pyfuse3.RequestContext) -> int:
        fd = self._reopen_as_it_is(inode, flags)
        if flags & os.O_TRUNC:
            try:
                if ctx.uid != 0:
                    self._clear_privileges(inode)
                await self._changes.truncate(inode, fd, 0)
            except BaseException:
                os.close(fd)
                raise
        return fd

    def _reopen_as_it_is(self, inode: Inode, flags: int) -> int:
        return os.open(path_of(self._inodes.descriptor(inode)), flags & _HOST_FLAGS)

    def _path_of(self, fh: int) -> str:
        return self._open[fh].path
