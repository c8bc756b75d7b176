"""`NameTree` serves the names of one host directory and of everything below it: files of every kind.

Every name is looked up relative to a descriptor of its directory, so no request leaves the tree. Symbolic
links are made and read, and never followed: the kernel follows them for the caller.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyfuse3

from fuse_backing.descriptor_calls import change_owner, link_file, path_of, set_file_group
from fuse_backing.directory_listings import DirectoryListings
from fuse_backing.file_attributes import entry_of
from fuse_backing.host_tree import check_name
from fuse_backing.inode import Inode
from fuse_backing.system_calls import renameat2

_RENAMES = pyfuse3.RENAME_NOREPLACE | pyfuse3.RENAME_EXCHANGE


class NameTree(DirectoryListings):
    """A `NameTree` serves the tree below the directory open as *directory_fd*, which its opener closes."""

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Find an entry by name; EXDEV if another file system is mounted there."""
        return self._entry(self._inodes.get(parent_inode), name)

    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        """Return the target of a symbolic link as it is."""
        return os.readlink(b"", dir_fd=self._inodes.descriptor(self._inodes.get(inode)))

    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Create a regular file, FIFO, socket or device, owned by the caller."""
        return self._made(parent_inode, name, mode, ctx, lambda at: os.mknod(name, mode, rdev, dir_fd=at))

    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Create a directory, owned by the caller."""
        permissions = stat.S_IMODE(mode)
        return self._made(
            parent_inode, name, stat.S_IFDIR | mode, ctx, lambda at: os.mkdir(name, permissions, dir_fd=at)
        )

    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Create a symbolic link, owned by the caller, to any target."""
        return self._made(
            parent_inode, name, stat.S_IFLNK, ctx, lambda at: os.symlink(target, name, dir_fd=at)
        )

    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make another name for a file."""
        check_name(new_name)
        found, parent = self._inodes.get(inode), self._inodes.get(new_parent_inode)
        at = self._inodes.descriptor(parent)
        link_file(self._inodes.descriptor(found), at, new_name)
        return self._entry(parent, new_name)

    async def unlink(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Remove a name; the file exists as long as the kernel knows it."""
        self._removed(self._inodes.get(parent_inode), name, os.unlink)

    async def rmdir(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Remove an empty directory."""
        self._removed(self._inodes.get(parent_inode), name, os.rmdir)

    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: pyfuse3.RequestContext,
    ) -> None:
        """Rename an entry, with renameat2(2)'s flags; EINVAL for RENAME_WHITEOUT."""
        if flags & ~_RENAMES:
            raise pyfuse3.FUSEError(errno.EINVAL)
        for name in (name_old, name_new):
            check_name(name)
        old, new = self._inodes.get(parent_inode_old), self._inodes.get(parent_inode_new)
        moved = self._inodes.known(old, name_old)
        replaced = self._inodes.known(new, name_new)
        exchanged = replaced if flags & pyfuse3.RENAME_EXCHANGE else None
        with self._kept(replaced):
            old_fd = self._inodes.descriptor(old)
            renameat2(old_fd, name_old, self._inodes.descriptor(new), name_new, flags)
            if moved is not None and moved is replaced:
                return  # both are links of one file: nothing happens
            if exchanged is None and replaced is not None and self._inodes.unlink(replaced, new, name_new):
                self._moved(replaced)
            if moved is not None:
                self._inodes.move(moved, old, name_old, new, name_new)
            if exchanged is not None:
                self._inodes.move(exchanged, new, name_new, old, name_old)
        for inode in (moved, exchanged):
            if inode is not None:
                self._moved(inode)

    def _entry(self, parent: Inode, name: bytes) -> pyfuse3.EntryAttributes:
        inode, status = self._found(parent, name)
        inode.lookups += 1
        return entry_of(status, inode.number)

    def _made(
        self,
        parent_number: int,
        name: bytes,
        mode: int,
        ctx: pyfuse3.RequestContext,
        make: Callable[[int], None],
    ) -> pyfuse3.EntryAttributes:
        """Make an entry by *make*, which gets a descriptor of the directory; return its attributes."""
        check_name(name)
        parent = self._inodes.get(parent_number)
        at = self._inodes.descriptor(parent)
        with creating_as(ctx):
            make(at)
        inode, status = self._found(parent, name)
        inode.lookups += 1
        # Only what was made just now gets a new owner, not what somebody has put in its place on the host.
        same = stat.S_IFMT(mode) == inode.kind and (status.st_nlink == 1 or inode.kind == stat.S_IFDIR)
        if same and self._owned(self._inodes.descriptor(inode), status, ctx):
            return self._attributes(inode)
        return entry_of(status, inode.number)

    def _owned(self, fd: int, status: os.stat_result, ctx: pyfuse3.RequestContext) -> bool:
        """Let the caller own the new file *fd*; return whether that has changed its status."""
        if os.geteuid() != 0 or ctx.uid == status.st_uid:
            return False
        change_owner(fd, ctx.uid, -1)
        if stat.S_IMODE(status.st_mode) & (stat.S_ISUID | stat.S_ISGID) and not stat.S_ISLNK(status.st_mode):
            os.chmod(path_of(fd), stat.S_IMODE(status.st_mode))  # noqa: PTH101  (a magic link, not a path)
        return True

    def _removed(self, parent: Inode, name: bytes, remove: Callable[..., None]) -> None:
        check_name(name)
        inode = self._inodes.known(parent, name)
        with self._kept(inode):
            remove(name, dir_fd=self._inodes.descriptor(parent))
            if inode is None:
                return
            if remove is os.rmdir:
                self._inodes.pin(inode)  # for good: not every host shows 0 links of a removed directory
            if self._inodes.unlink(inode, parent, name):
                self._moved(inode)

    @contextmanager
    def _kept(self, inode: Inode | None) -> Iterator[None]:
        """Keep a file that may lose its last name reachable, for as long as the kernel knows it.

        A handle of a file without a name is stale: open_by_handle_at(2).
        """
        if inode is None:
            yield
            return
        self._inodes.pin(inode)
        try:
            yield
        finally:
            if os.fstat(inode.fd).st_nlink > 0:
                self._inodes.unpin(inode)


@contextmanager
def creating_as(ctx: pyfuse3.RequestContext) -> Iterator[None]:
    """Let this thread create files with the caller's group and umask, unless the directory decides otherwise.

    It does with the bit setgid, and with a default access control list, which replaces the umask. The umask
    is that of the whole process: the block must create files and do nothing else.
    """
    mask = os.umask(ctx.umask)
    group = set_file_group(ctx.gid) if os.geteuid() == 0 else None
    try:
        yield
    finally:
        if group is not None:
            set_file_group(group)
        os.umask(mask)
