"""`FlatDirectory` serves the names of the regular files of one host directory; it hides everything else."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

import pyfuse3
import trio

from fuse_backing.inodes import Inode, InodeTable
from fuse_backing.operations import FileOperations
from fuse_backing.shortcut import Shortcut
from fuse_backing.system_calls import renameat2


@dataclass(slots=True)
class _Listing:
    """A `_Listing` keeps an open directory's entries since the last rewind, so that positions stay valid."""

    names: list[bytes]


class FlatDirectory(FileOperations):
    """A `FlatDirectory` serves names, listings and attributes of the directory open as *directory_fd*.

    Its opener closes *directory_fd*.
    """

    def __init__(self, directory_fd: int, shortcut: Shortcut) -> None:
        super().__init__()
        self._directory = directory_fd
        self._shortcut = shortcut
        self._inodes = InodeTable(directory_fd)
        self._listings: dict[int, _Listing] = {}
        self._next_listing = 1

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Find a regular file by name; everything else is ENOENT."""
        if name in (b".", b".."):
            return self._root_attributes()
        inode = self._inodes.find(name)
        inode.lookups += 1
        return self._attributes(inode)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Subtract lookups; close each file that the kernel has forgotten.

        The host frees an unlinked file then.
        """
        for number, count in inode_list:
            inode = self._inodes.forget(number, count)
            if inode is None:
                continue
            self._shortcut.forgotten(inode)
            if os.fstat(inode.path_fd).st_nlink == 0:  # the host frees its blocks now, which can take long
                await trio.to_thread.run_sync(os.close, inode.path_fd)
            else:
                os.close(inode.path_fd)

    async def unlink(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Remove a name; the file exists as long as the kernel knows it."""
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
        """Rename a file, with renameat2(2)'s flags; a hidden entry is neither moved nor replaced."""
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
        """Refuse: the file system has only regular files."""
        raise pyfuse3.FUSEError(errno.EPERM)

    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Refuse: the ledger records a punch under one name."""
        raise pyfuse3.FUSEError(errno.EPERM)

    async def rmdir(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Refuse: the file system is flat."""
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
                continue  # hidden, or removed since
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
        """Return the current attributes on the host."""
        if inode == pyfuse3.ROOT_INODE:
            return self._root_attributes()
        return self._attributes(self._inodes.get(inode))

    async def statfs_of(self, inode: int) -> pyfuse3.StatvfsData:
        """Return the host file system's numbers; a loop device takes its discard granularity from f_bsize."""
        host = os.fstatvfs(self._directory)
        stats = pyfuse3.StatvfsData()
        for field in ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "namemax"):
            setattr(stats, f"f_{field}", getattr(host, f"f_{field}"))
        return stats

    def _attributes(self, inode: Inode) -> pyfuse3.EntryAttributes:
        return _entry(os.fstat(inode.path_fd), inode.number)

    def _root_attributes(self) -> pyfuse3.EntryAttributes:
        return _entry(os.fstat(self._directory), pyfuse3.ROOT_INODE)


def _entry(status: os.stat_result, number: int) -> pyfuse3.EntryAttributes:
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = number
    # The kernel must cache nothing: the host's st_blocks changes with every write and punch, and other
    # programs may use the directory without the mount.
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
