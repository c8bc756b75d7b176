"""`InodeTable` has the files that the kernel knows, with their links, inode numbers and lookup counts.

A file is identified by the host's device and inode number and, where the host has file handles, by its
handle, which contains a generation. The table then keeps few descriptors: ``descriptor`` opens a file by its
handle again. Without handles each known file is held open with O_PATH. So its host inode is not reused while
the kernel remembers its number, and the file can still be reached after a rename or unlink.
"""

import errno
import os
import stat
from collections.abc import Iterable

from fuse_backing.descriptor_calls import handle_of, open_handle
from fuse_backing.host_tree import HostTree
from fuse_backing.inode import Inode

ROOT_NUMBER = 1
MOST_DESCRIPTORS = 1024
"""Largest number of descriptors that a table keeps for files which can be opened again."""

_FIRST_OWN_NUMBER = 1 << 62
_MOST_LINKS = 64
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})


class InodeTable:
    """An `InodeTable` has the known files of the tree below one directory.

    With *use_handles* it opens files by their handles if the host and the kernel allow that.
    """

    def __init__(
        self, directory_fd: int, *, use_handles: bool = True, most_descriptors: int = MOST_DESCRIPTORS
    ) -> None:
        self.tree = HostTree(directory_fd)
        self._mount = directory_fd
        self.has_handles = use_handles and _handles_work(directory_fd)
        """True if known files have handles."""
        self._most_descriptors = most_descriptors
        self._by_number: dict[int, Inode] = {}
        self._renumbered: dict[tuple[int, int], Inode] = {}  # files whose number is not the host's
        self._links: dict[Inode, list[tuple[Inode, bytes]]] = {}  # other known links of a file
        self._cached: dict[Inode, None] = {}  # files whose descriptor may be closed, the oldest use first
        self._next_own_number = _FIRST_OWN_NUMBER
        self.root = Inode(ROOT_NUMBER, os.fstat(directory_fd), None, directory_fd)
        self.root.lookups = self.root.pins = 1
        self._by_number[ROOT_NUMBER] = self.root
        self._renumbered[self.root.device, self.root.host_number] = self.root

    def __len__(self) -> int:
        """Return the number of known files, without the root."""
        return len(self._by_number) - 1

    @property
    def open_descriptors(self) -> int:
        """Return the number of descriptors that the table may close at any time."""
        return len(self._cached)

    def get(self, number: int) -> Inode:
        """Return a known inode. Raises OSError (ESTALE)."""
        inode = self._by_number.get(number)
        if inode is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return inode

    def find(self, parent: Inode, name: bytes) -> tuple[Inode, os.stat_result]:
        """Return the inode and the status of an entry, and add it to the table. The caller counts the lookup.

        Raises OSError. The links of the inode do not change: see ``link``.
        """
        directory = self.descriptor(parent)
        try:
            fd = self.tree.open_entry(directory, name)
        except OSError as error:
            if not self._made_room(error):
                raise
            fd = self.tree.open_entry(self.descriptor(parent), name)
        try:
            status = os.fstat(fd)
            handle = handle_of(fd) if self.has_handles else None
            inode = self._same(status, handle)
            if inode is None:
                inode = self._added(status, handle, fd)
                inode.parent, inode.name = parent, name
                fd = -1
            elif inode.fd == -1:
                inode.fd, fd = fd, -1
                self._cached[inode] = None
        finally:
            if fd != -1:
                os.close(fd)
        self._close_oldest()
        return inode, status

    def known(self, parent: Inode, name: bytes) -> Inode | None:
        """Return the known inode of an entry, None if the entry is unknown or missing. Raises OSError."""
        try:
            fd = self.tree.open_entry(self.descriptor(parent), name)
        except FileNotFoundError:
            return None
        try:
            return self._same(os.fstat(fd), handle_of(fd) if self.has_handles else None)
        finally:
            os.close(fd)

    def descriptor(self, inode: Inode) -> int:
        """Return a descriptor of the file (O_PATH): valid until the table is used for other files.

        Raises OSError: ESTALE if the host has removed the file, EMFILE without descriptors.
        """
        if inode.fd != -1:
            if inode.pins == 0:
                self._cached[inode] = self._cached.pop(inode, None)
            return inode.fd
        if inode.handle is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        try:
            inode.fd = open_handle(self._mount, inode.handle)
        except OSError as error:
            if not self._made_room(error):
                raise
            inode.fd = open_handle(self._mount, inode.handle)
        if inode.pins == 0:
            self._cached[inode] = None
        self._close_oldest()
        return inode.fd

    def pin(self, inode: Inode) -> None:
        """Keep the descriptor of a file until ``unpin``. Raises OSError."""
        self.descriptor(inode)
        inode.pins += 1
        self._cached.pop(inode, None)

    def unpin(self, inode: Inode) -> None:
        """Undo one ``pin``."""
        inode.pins -= 1
        if inode.pins == 0 and inode.fd != -1:
            self._cached[inode] = None
            self._close_oldest()

    def link(self, inode: Inode, parent: Inode, name: bytes, links: int) -> bool:
        """Record that the entry *name* of *parent* is the file, which has *links* names on the host.

        It becomes the last known link. Return whether the file's path has changed by that.
        """
        if inode.parent is None or (inode.parent is parent and inode.name == name):
            return False
        others = self._links.pop(inode, [])
        if links > 1 and inode.kind != stat.S_IFDIR:
            kept = [link for link in others if link != (parent, name)]
            self._links[inode] = [*kept, (inode.parent, inode.name)][-_MOST_LINKS:]
        inode.parent, inode.name = parent, name
        return True

    def unlink(self, inode: Inode, parent: Inode, name: bytes) -> bool:
        """Record that the entry is the file's no longer; return whether the file's path has changed by that.

        A file without any known link keeps its last one.
        """
        others = [link for link in self._links.pop(inode, []) if link != (parent, name)]
        changed = bool(others) and inode.parent is parent and inode.name == name
        if changed:
            inode.parent, inode.name = others.pop()
        if others:
            self._links[inode] = others
        return changed

    def move(self, inode: Inode, parent: Inode, name: bytes, new_parent: Inode, new_name: bytes) -> None:
        """Record that one of the file's links has a new place, which becomes the last known link."""
        if inode.parent is None:
            return
        gone = ((parent, name), (new_parent, new_name))
        others = [*self._links.pop(inode, []), (inode.parent, inode.name)]
        others = [link for link in others if link not in gone]
        if others and inode.kind != stat.S_IFDIR:
            self._links[inode] = others
        inode.parent, inode.name = new_parent, new_name

    def forget(self, number: int, count: int) -> Inode | None:
        """Subtract *count* lookups; return the inode if none is left: the caller then calls ``take_out``."""
        inode = self._by_number.get(number)
        if inode is None or inode is self.root:
            return None
        inode.lookups -= count
        return inode if inode.lookups <= 0 else None

    def take_out(self, inode: Inode) -> int:
        """Remove an inode from the table; return its descriptor, which the caller closes, or -1."""
        del self._by_number[inode.number]
        if inode.number != inode.host_number:
            key = (inode.device, inode.host_number)
            if self._renumbered.get(key) is inode:
                del self._renumbered[key]
        self._links.pop(inode, None)
        self._cached.pop(inode, None)
        fd, inode.fd = inode.fd, -1
        return fd

    def close(self) -> None:
        """Close and remove all files."""
        for inode in self._by_number.values():
            if inode.fd != -1 and inode is not self.root:
                os.close(inode.fd)
                inode.fd = -1
        for table in (self._by_number, self._renumbered, self._links, self._cached):
            table.clear()

    def _same(self, status: os.stat_result, handle: bytes | None) -> Inode | None:
        """Return the known inode of a status and a handle."""
        for inode in self._candidates(status):
            if inode.device != status.st_dev or inode.host_number != status.st_ino:
                continue
            if inode.handle == handle or inode is self.root:
                return inode
        return None

    def _candidates(self, status: os.stat_result) -> Iterable[Inode]:
        by_number = self._by_number.get(status.st_ino)
        renumbered = self._renumbered.get((status.st_dev, status.st_ino)) if self._renumbered else None
        return [inode for inode in (renumbered, by_number) if inode is not None]

    def _added(self, status: os.stat_result, handle: bytes | None, fd: int) -> Inode:
        number = status.st_ino
        # It is taken if another subvolume of btrfs has it, or a removed file that the kernel still knows.
        if not ROOT_NUMBER < number < _FIRST_OWN_NUMBER or number in self._by_number:
            self._next_own_number += 1
            number = self._next_own_number
        inode = Inode(number, status, handle, fd)
        if number != status.st_ino:
            self._renumbered[status.st_dev, status.st_ino] = inode
        self._by_number[number] = inode
        if handle is None:
            inode.pins = 1  # it could not be opened again
        else:
            self._cached[inode] = None
        return inode

    def _close_oldest(self, keep: int | None = None) -> None:
        most = self._most_descriptors if keep is None else keep
        while len(self._cached) > most:
            inode = next(iter(self._cached))
            del self._cached[inode]
            os.close(inode.fd)
            inode.fd = -1

    def _made_room(self, error: OSError) -> bool:
        """Close descriptors that can be opened again if *error* means that too many are open."""
        if error.errno not in _EXHAUSTED or not self._cached:
            return False
        self._close_oldest(keep=0)
        return True


def _handles_work(directory_fd: int) -> bool:
    """Return whether the host has file handles, and this process may open files by them."""
    try:
        os.close(open_handle(directory_fd, handle_of(directory_fd)))
    except OSError:
        return False
    return True
