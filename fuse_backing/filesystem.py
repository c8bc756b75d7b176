"""The file system: the regular files of one host directory, flat, with every punch in the ledger.

Each write has reached the host's file when it returns, so ``st_blocks`` and the ledger are never behind what
users did: data is served by the kernel from a backing file, or files are opened with direct I/O. (The price
of the latter: no shared writable mmap of a served file.)

Reads, writes and punches reach this module only where nobody serves them faster (``shortcut``). Reads and
writes then run in the event loop, as a hand-over to a thread costs more than they do; what can take long
(fsync, truncation, large punches) runs in threads.
"""

import errno
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import trio

from fuse_backing._load import pyfuse3
from fuse_backing._syscalls import FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, renameat2
from fuse_backing.allocation import total
from fuse_backing.faults import FaultKind, Operation, Strike
from fuse_backing.injection import Injector
from fuse_backing.inodes import Inode, InodeTable
from fuse_backing.ledger import Ledger
from fuse_backing.session import FileOperations
from fuse_backing.shortcut import Shortcut
from fuse_backing.sparsefile import Change, SparseFile

INLINE_LIMIT = 1 << 20
"""Up to this length in bytes a fallocate runs in the event loop; a longer one may take long."""

# O_APPEND: the kernel sends the offset; Linux's pwrite would ignore it. O_DIRECT: buffers are not aligned.
_HOST_FLAGS = os.O_ACCMODE | os.O_TRUNC | os.O_SYNC | os.O_DSYNC


@dataclass(slots=True)
class _Listing:
    """An open directory: its entries as of the last rewind, so that positions in it stay valid."""

    names: list[bytes]


class BackingFileSystem(FileOperations):
    """Serves the directory behind *directory_fd*, which stays its opener's; ``close`` this when unmounted."""

    def __init__(self, directory_fd: int, ledger: Ledger, shortcut: Shortcut, injector: Injector) -> None:
        super().__init__()
        self._injector = injector
        self._shortcut = shortcut
        self._directory = directory_fd
        self._ledger = ledger
        self._inodes = InodeTable(directory_fd)
        self._open: dict[int, Inode] = {}  # a handle is the host's file descriptor
        self._listings: dict[int, _Listing] = {}
        self._next_listing = 1

    def open_host_file(self, name: str) -> int:
        """Open a served file for a look at its extents; the caller closes. Raises OSError."""
        encoded = os.fsencode(name)
        self._inodes.stat(encoded)
        fd = os.open(encoded, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._directory)
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # replaced in between
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return fd

    def close(self) -> None:
        """Close all files: what the kernel had open or remembered when the session ended."""
        for fd in self._open:
            os.close(fd)
        self._open.clear()
        self._inodes.close()

    # Names

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Find a regular file by name; anything else is not there (ENOENT)."""
        if name in (b".", b".."):
            return self._root_attributes()
        inode = self._inodes.find(name)
        inode.lookups += 1
        return self._attributes(inode)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Take back lookups; a file that the kernel has forgotten is closed, and if unlinked, is gone."""
        for number, count in inode_list:
            inode = self._inodes.forget(number, count)
            if inode is None:
                continue
            self._shortcut.forgotten(inode)
            if os.fstat(inode.path_fd).st_nlink == 0:  # the host frees its blocks now, which can take long
                await trio.to_thread.run_sync(os.close, inode.path_fd)
            else:
                os.close(inode.path_fd)

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: pyfuse3.RequestContext
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Create and open a regular file, owned by the caller; open it if it has appeared meanwhile."""
        self._inodes.check_name(name)
        host_flags = (flags & _HOST_FLAGS) | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            fd = os.open(name, host_flags, 0o600, dir_fd=self._directory)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            fd = self._reopen(self._inodes.find_or_refuse(name), flags)
        else:
            if os.geteuid() == 0:
                os.fchown(fd, ctx.uid, ctx.gid)
            os.fchmod(fd, stat.S_IMODE(mode))  # the kernel has applied the caller's umask, not ours
        try:
            inode = self._inodes.find(name)
        except BaseException:
            os.close(fd)
            raise
        inode.lookups += 1
        return self._opened(inode, fd), self._attributes(inode)

    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Create a regular file; EPERM for anything else, as on other file systems that lack it."""
        if not stat.S_ISREG(mode):
            raise pyfuse3.FUSEError(errno.EPERM)
        info, attributes = await self.create(parent_inode, name, mode, os.O_RDWR | os.O_EXCL, ctx)
        await self.release(info.fh)
        return attributes

    async def unlink(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Remove a name; the file lives on while the kernel knows it."""
        self._inodes.stat(name)
        os.unlink(name, dir_fd=self._directory)

    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: pyfuse3.RequestContext,
    ) -> None:
        """Rename, with renameat2(2)'s flags; what is hidden is neither moved nor replaced."""
        if flags & ~(pyfuse3.RENAME_NOREPLACE | pyfuse3.RENAME_EXCHANGE):
            raise pyfuse3.FUSEError(errno.EINVAL)
        moved = self._inodes.known(self._inodes.stat(name_old))
        replaced = self._inodes.stat_or_refuse(name_new)
        exchanged = None
        if flags & pyfuse3.RENAME_EXCHANGE and replaced is not None:
            exchanged = self._inodes.known(replaced)
        renameat2(self._directory, name_old, name_new, flags)
        if moved is not None:
            moved.name = name_new
            self._shortcut.renamed(moved)
        if exchanged is not None:
            exchanged.name = name_old
            self._shortcut.renamed(exchanged)

    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Refuse: the file system is flat."""
        raise pyfuse3.FUSEError(errno.EPERM)

    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Refuse: only regular files."""
        raise pyfuse3.FUSEError(errno.EPERM)

    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Refuse: a punch is recorded under one name."""
        raise pyfuse3.FUSEError(errno.EPERM)

    async def rmdir(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Refuse: there are no directories."""
        self._inodes.stat(name)
        raise pyfuse3.FUSEError(errno.ENOTDIR)

    # The directory

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """Open the directory."""
        if inode != pyfuse3.ROOT_INODE:
            raise pyfuse3.FUSEError(errno.ENOTDIR)
        handle = self._next_listing
        self._next_listing += 1
        self._listings[handle] = _Listing([])
        return handle

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """List the regular files, in the order of their names."""
        listing = self._listings[fh]
        if start_id == 0:
            listing.names = sorted(os.fsencode(name) for name in os.listdir(self._directory))  # noqa: PTH208
        for position, name in enumerate(listing.names[start_id:], start_id + 1):
            try:
                inode = self._inodes.find(name)
            except OSError:
                continue  # hidden, or gone since
            inode.lookups += 1
            if not pyfuse3.readdir_reply(token, name, self._attributes(inode), position):
                await self.forget([(inode.number, 1)])
                return

    async def releasedir(self, fh: int) -> None:
        """Close the directory."""
        self._listings.pop(fh, None)

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Make names durable."""
        await trio.to_thread.run_sync(os.fsync, self._directory)

    # Attributes

    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Return the host's attributes of now."""
        if inode == pyfuse3.ROOT_INODE:
            return self._root_attributes()
        return self._attributes(self._inodes.get(inode))

    async def setattr(
        self,
        inode: int,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: int | None,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Change size, mode, owner, times. A truncation is ordered with the punches, but is no event."""
        if inode == pyfuse3.ROOT_INODE:
            raise pyfuse3.FUSEError(errno.EPERM)
        found = self._inodes.get(inode)
        if fields.update_size:
            await self._truncate(found, fh, attr.st_size)
        path = found.proc_path
        if fields.update_mode:
            os.chmod(path, stat.S_IMODE(attr.st_mode))  # noqa: PTH101  (a magic link, not a path)
        if fields.update_uid or fields.update_gid:
            os.chown(path, attr.st_uid if fields.update_uid else -1, attr.st_gid if fields.update_gid else -1)
        if fields.update_atime or fields.update_mtime:
            now = os.fstat(found.path_fd)
            os.utime(
                path,
                ns=(
                    attr.st_atime_ns if fields.update_atime else now.st_atime_ns,
                    attr.st_mtime_ns if fields.update_mtime else now.st_mtime_ns,
                ),
            )
        return self._attributes(found)

    async def statfs_of(self, inode: int) -> pyfuse3.StatvfsData:
        """Return the host file system's numbers; a loop device takes its discard granularity from f_bsize."""
        host = os.fstatvfs(self._directory)
        stats = pyfuse3.StatvfsData()
        for field in ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "namemax"):
            setattr(stats, f"f_{field}", getattr(host, f"f_{field}"))
        return stats

    # Data

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file."""
        found = self._inodes.get(inode)
        return self._opened(found, self._reopen(found, flags))

    async def release(self, fh: int) -> None:
        """Close a file."""
        inode = self._open.pop(fh, None)
        if inode is not None:
            self._shortcut.closed(inode, fh)
            os.close(fh)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Read; short at the end of the file."""
        if self._injector.active:
            await self._injector.strike_data(Operation.READ, self._name(fh), off, size)
        return os.pread(fh, size, off)

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """Write all of it; an error after a part counts for all.

        A loop device takes a short write for a whole one: drivers/block/loop.c, lo_complete_rq.
        """
        if self._injector.active:
            await self._injector.strike_data(Operation.WRITE, self._name(fh), off, len(buf))
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
            strike = await self._injector.strike_data(Operation.FSYNC, self._name(fh))
            if strike is not None and strike.kind is FaultKind.LIE:
                return
        await trio.to_thread.run_sync(os.fdatasync if datasync else os.fsync, fh)

    async def lseek(self, inode: int, fh: int, offset: int, whence: int) -> int:
        """Find data or a hole, as the host sees it."""
        return os.lseek(fh, offset, whence)

    async def fallocate(self, inode: int, fh: int, mode: int, offset: int, length: int) -> None:
        """Pass down any fallocate; a punch and a zero range go into the ledger, refused ones too."""
        found = self._open.get(fh)
        if found is None:
            raise pyfuse3.FUSEError(errno.EBADF)
        operation, strike = _recorded_as(mode), None
        if operation is not None and self._injector.active:
            strike = await self._injector.strike(operation, os.fsdecode(found.name), mode, offset, length)
        async with found.changing:
            with self._shortcut.changing(found):
                await self._change(found, fh, operation, strike, mode, offset, length)

    async def _change(
        self,
        found: Inode,
        fh: int,
        operation: Operation | None,
        strike: Strike | None,
        mode: int,
        offset: int,
        length: int,
    ) -> None:
        file, began = SparseFile(fh), time.time()
        if length <= INLINE_LIMIT:
            change = _changed(file, strike, mode, offset, length)
        else:
            change = await trio.to_thread.run_sync(_changed, file, strike, mode, offset, length)
        if operation is not None:
            self._ledger.record(
                time=began,
                file=os.fsdecode(found.name),
                operation=operation,
                mode=mode,
                offset=offset,
                length=length,
                allocated=change.allocated,
                freed=change.freed,
                errno=change.errno,
                duration=change.duration,
                fault=None if strike is None else strike.kind,
            )
        if change.errno:
            raise OSError(change.errno, os.strerror(change.errno))

    async def _truncate(self, inode: Inode, fh: int | None, size: int) -> None:
        async with inode.changing:
            with self._shortcut.changing(inode):
                if fh is not None and fh in self._open:
                    await trio.to_thread.run_sync(os.ftruncate, fh, size)
                    return
                fd = self._reopen(inode, os.O_WRONLY)
                try:
                    await trio.to_thread.run_sync(os.ftruncate, fd, size)
                finally:
                    os.close(fd)

    def _opened(self, inode: Inode, fd: int) -> pyfuse3.FileInfo:
        try:
            self._shortcut.opened(inode, fd)
        except BaseException:
            os.close(fd)
            raise
        self._open[fd] = inode
        return pyfuse3.FileInfo(fh=fd, direct_io=True, keep_cache=False)

    def _reopen(self, inode: Inode, flags: int) -> int:
        return os.open(inode.proc_path, flags & _HOST_FLAGS)

    def _name(self, fh: int) -> str:
        return os.fsdecode(self._open[fh].name)

    def _attributes(self, inode: Inode) -> pyfuse3.EntryAttributes:
        return _entry(os.fstat(inode.path_fd), inode.number)

    def _root_attributes(self) -> pyfuse3.EntryAttributes:
        return _entry(os.fstat(self._directory), pyfuse3.ROOT_INODE)


def _recorded_as(mode: int) -> Operation | None:
    if mode & FALLOC_FL_PUNCH_HOLE:
        return Operation.PUNCH
    if mode & FALLOC_FL_ZERO_RANGE:
        return Operation.ZERO
    return None


def _changed(file: SparseFile, strike: Strike | None, mode: int, offset: int, length: int) -> Change:
    """Do a fallocate, or as much of it as a planned fault leaves."""
    if strike is None or strike.kind not in (FaultKind.PARTIAL, FaultKind.LIE):
        return file.change(mode, offset, length)
    allocated = total(file.allocated_ranges(offset, length))
    done = min(strike.bytes, length)  # of a lie: 0
    if done == 0:
        return Change(allocated, 0, 0, 0.0)
    return replace(file.change(mode, offset, done), allocated=allocated)


def _entry(status: os.stat_result, number: int) -> pyfuse3.EntryAttributes:
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = number
    # Nothing is cached: the host's st_blocks changes with every write and punch, and others may use the
    # directory beside the mount.
    entry.attr_timeout = 0
    entry.entry_timeout = 0
    entry.st_mode = status.st_mode
    entry.st_nlink = status.st_nlink
    entry.st_uid = status.st_uid
    entry.st_gid = status.st_gid
    entry.st_size = status.st_size
    entry.st_blocks = status.st_blocks
    entry.st_blksize = status.st_blksize
    entry.st_atime_ns = status.st_atime_ns
    entry.st_mtime_ns = status.st_mtime_ns
    entry.st_ctime_ns = status.st_ctime_ns
    return entry
