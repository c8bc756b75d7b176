"""`FileAttributes` serves the attributes and extended attributes of the files that the kernel knows."""

import errno
import os
import stat
from collections.abc import Sequence

import pyfuse3
import trio

from fuse_backing.descriptor_calls import change_owner, path_of, set_times
from fuse_backing.inode import Inode
from fuse_backing.inodes import InodeTable
from fuse_backing.operations import FileOperations
from fuse_backing.shortcut import Shortcut

_PRIVILEGED = stat.S_ISUID | stat.S_ISGID


class FileAttributes(FileOperations):
    """A `FileAttributes` serves the files of the directory open as *directory_fd*, which its opener closes.

    The kernel checks permissions and access control lists (``default_permissions``); the host has them.
    """

    enable_acl = True

    def __init__(self, directory_fd: int, shortcut: Shortcut) -> None:
        super().__init__()
        self._directory = directory_fd
        self._shortcut = shortcut
        self._inodes = InodeTable(directory_fd)

    @property
    def has_handles(self) -> bool:
        """Return whether known files can be opened by handles, so that few descriptors are needed."""
        return self._inodes.has_handles

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Subtract lookups, and remove each file that the kernel has forgotten.

        The host frees a file without a name then.
        """
        for number, count in inode_list:
            inode = self._inodes.forget(number, count)
            if inode is None:
                continue
            self._shortcut.forgotten(inode)
            removed = inode.pins > 0 and inode.kind == stat.S_IFREG
            path = inode.path if removed else ""
            fd = self._inodes.take_out(inode)
            if fd == -1:
                continue
            if removed and os.fstat(fd).st_nlink == 0:
                await self._released(path, fd)
            else:
                os.close(fd)

    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Return the current attributes on the host."""
        return self._attributes(self._inodes.get(inode))

    async def setattr(
        self,
        inode: int,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: int | None,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Change size, mode, owner or times.

        A request without any field is one to clear the bits suid and sgid, before a write or at a chown(2)
        that keeps the owner: with FUSE_HANDLE_KILLPRIV_V2 the kernel leaves that to the server
        (fs/fuse/dir.c, fuse_setattr).
        """
        found = self._inodes.get(inode)
        if fields.update_size:
            if ctx.uid != 0:
                self._clear_privileges(found)
            await self._truncate(found, fh, attr.st_size)
        fd = self._inodes.descriptor(found)
        if fields.update_uid or fields.update_gid:
            uid = attr.st_uid if fields.update_uid else -1
            change_owner(fd, uid, attr.st_gid if fields.update_gid else -1)
        if fields.update_mode:
            if found.kind == stat.S_IFLNK:
                raise pyfuse3.FUSEError(errno.EOPNOTSUPP)
            os.chmod(path_of(fd), stat.S_IMODE(attr.st_mode))  # noqa: PTH101  (a magic link, not a path)
        if fields.update_atime or fields.update_mtime:
            set_times(
                fd,
                attr.st_atime_ns if fields.update_atime else None,
                attr.st_mtime_ns if fields.update_mtime else None,
            )
        if not _changes_anything(fields):
            self._clear_privileges(found)
        return self._attributes(found)

    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        """Return an extended attribute of the host's file."""
        return os.getxattr(self._path(inode), name)

    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Set an extended attribute of the host's file."""
        os.setxattr(self._path(inode), name, value)

    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> list[bytes]:
        """Return the names of the extended attributes of the host's file."""
        return [os.fsencode(name) for name in os.listxattr(self._path(inode))]

    async def removexattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Remove an extended attribute of the host's file."""
        os.removexattr(self._path(inode), name)

    async def statfs_of(self, inode: int) -> pyfuse3.StatvfsData:
        """Return the host file system's numbers; a loop device takes its discard granularity from f_bsize."""
        host = os.fstatvfs(self._directory)
        stats = pyfuse3.StatvfsData()
        for field in ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "namemax"):
            setattr(stats, f"f_{field}", getattr(host, f"f_{field}"))
        return stats

    async def _released(self, path: str, fd: int) -> None:
        """Close the descriptor of a regular file without a name: the host then frees the file's space."""
        await trio.to_thread.run_sync(os.close, fd)

    async def _truncate(self, inode: Inode, fh: int | None, size: int) -> None:
        raise NotImplementedError

    def _attributes(self, inode: Inode) -> pyfuse3.EntryAttributes:
        return entry_of(os.fstat(self._inodes.descriptor(inode)), inode.number)

    def _path(self, number: int) -> str:
        return path_of(self._inodes.descriptor(self._inodes.get(number)))

    def _clear_privileges(self, inode: Inode) -> None:
        """Clear suid, and sgid of an executable, as the kernel does before a write and at a chown(2)."""
        fd = self._inodes.descriptor(inode)
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode) or stat.S_ISLNK(mode) or not mode & _PRIVILEGED:
            return
        kept = mode & ~stat.S_ISUID
        if mode & stat.S_IXGRP:
            kept &= ~stat.S_ISGID
        if kept != mode:
            os.chmod(path_of(fd), stat.S_IMODE(kept))  # noqa: PTH101  (a magic link, not a path)


def entry_of(status: os.stat_result, number: int) -> pyfuse3.EntryAttributes:
    """Return a status of the host as that of the inode *number*."""
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
    entry.st_rdev = status.st_rdev
    entry.st_size = status.st_size
    entry.st_blocks = status.st_blocks
    entry.st_blksize = status.st_blksize
    entry.st_atime_ns = status.st_atime_ns
    entry.st_mtime_ns = status.st_mtime_ns
    entry.st_ctime_ns = status.st_ctime_ns
    return entry


def _changes_anything(fields: pyfuse3.SetattrFields) -> bool:
    return any(
        (
            fields.update_size,
            fields.update_mode,
            fields.update_uid,
            fields.update_gid,
            fields.update_atime,
            fields.update_mtime,
            fields.update_ctime,
        )
    )
