"""`DirectoryListings` serves the lists of a directory's entries, with the attributes of each."""

import errno
import logging
import os
import stat
from dataclasses import dataclass

import pyfuse3
import trio

from fuse_backing.file_attributes import FileAttributes, entry_of
from fuse_backing.inode import Inode
from fuse_backing.shortcut import Shortcut

log = logging.getLogger(__name__)

_LONG = 1 << 20
"""Size of a directory on the host, in bytes, from which on it is read in a thread."""


@dataclass(slots=True)
class _Listing:
    """A `_Listing` keeps an open directory's entries since the last rewind, so that positions stay valid."""

    directory: Inode
    fd: int
    names: list[bytes]


class DirectoryListings(FileAttributes):
    """A `DirectoryListings` serves open directories; each has a descriptor of the host's directory."""

    def __init__(self, directory_fd: int, shortcut: Shortcut) -> None:
        super().__init__(directory_fd, shortcut)
        self._listings: dict[int, _Listing] = {}
        self._next_listing = 1
        self._warned: set[tuple[Inode, bytes]] = set()

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """Open a directory."""
        directory = self._inodes.get(inode)
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._inodes.descriptor(directory))
        handle = self._next_listing
        self._next_listing += 1
        self._listings[handle] = _Listing(directory, fd, [])
        return handle

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """List the entries in the order of their names, with their attributes.

        An entry that another file system is mounted on is left out: it cannot be looked up.
        """
        listing = self._listings[fh]
        if start_id == 0:
            if os.fstat(listing.fd).st_size < _LONG:
                names = os.listdir(listing.fd)  # noqa: PTH208
            else:
                names = await trio.to_thread.run_sync(os.listdir, listing.fd)
            listing.names = [b".", b"..", *sorted(map(os.fsencode, names))]
        for position in range(start_id, len(listing.names)):
            name = listing.names[position]
            if name in (b".", b".."):
                above = listing.directory.parent if name == b".." else None
                entry = entry_of(os.fstat(listing.fd), (above or listing.directory).number)
                if not pyfuse3.readdir_reply(token, name, entry, position + 1):
                    return
                continue
            try:
                inode, status = self._found(listing.directory, name, used=False)
            except OSError:
                continue  # removed since, or on another file system
            inode.lookups += 1
            if not pyfuse3.readdir_reply(token, name, entry_of(status, inode.number), position + 1):
                await self.forget([(inode.number, 1)])
                return

    async def releasedir(self, fh: int) -> None:
        """Close a directory."""
        listing = self._listings.pop(fh, None)
        if listing is not None:
            os.close(listing.fd)

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Make the names of a directory durable."""
        await trio.to_thread.run_sync(os.fsync, self._listings[fh].fd)

    def _found(self, parent: Inode, name: bytes, *, used: bool = True) -> tuple[Inode, os.stat_result]:
        """Return the inode and the status of an entry; one that is *used* becomes the file's last known link.

        Raises OSError.
        """
        try:
            inode, status = self._inodes.find(parent, name)
        except OSError as error:
            if error.errno == errno.EXDEV and (parent, name) not in self._warned:
                self._warned.add((parent, name))
                where = os.fsdecode(name) if parent.parent is None else f"{parent.path}/{os.fsdecode(name)}"
                log.warning("%s: another file system is mounted there; the store does not serve it", where)
            raise
        only = status.st_nlink == 1 or inode.kind == stat.S_IFDIR
        if (used or only) and self._inodes.link(inode, parent, name, status.st_nlink):
            self._moved(inode)
        return inode, status

    def _moved(self, inode: Inode) -> None:
        """Record later events of the file, or of all files below the directory, under its new path."""
        if inode.kind == stat.S_IFDIR:
            self._shortcut.directory_moved()
        else:
            self._shortcut.renamed(inode)

    def close(self) -> None:
        """Close all directories and files that the kernel remembered at the end of the session."""
        for listing in self._listings.values():
            os.close(listing.fd)
        self._listings.clear()
        self._inodes.close()
