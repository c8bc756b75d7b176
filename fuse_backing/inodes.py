"""`InodeTable` is Python's side of the files that the kernel knows, which ``native/names`` serves.

Python asks the table for a file only while the kernel waits for an answer about it: for a truncation, a punch
that Python measures, or a request that a planned fault may strike. The kernel does not forget the file
meanwhile.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from fuse_backing.extension import native
from fuse_backing.host_tree import HostTree
from fuse_backing.inode import Inode

ROOT_NUMBER = 1
MOST_DESCRIPTORS = 1024
"""Largest number of descriptors that a table keeps for files which can be opened again."""


class InodeTable:
    """An `InodeTable` has the known files of the tree below one directory.

    With *use_handles* it opens files by their handles if the host and the kernel allow that.
    """

    def __init__(
        self, directory_fd: int, *, use_handles: bool = True, most_descriptors: int = MOST_DESCRIPTORS
    ) -> None:
        self.tree = HostTree(directory_fd)
        self.names = native.Names(directory_fd, use_handles, most_descriptors)
        """The table itself."""
        self._used: WeakValueDictionary[int, Inode] = WeakValueDictionary()
        self.root = self.get(ROOT_NUMBER)

    def __len__(self) -> int:
        """Return the number of known files, without the root."""
        return len(self.names)

    @property
    def has_handles(self) -> bool:
        """Return whether known files have handles."""
        return self.names.has_handles

    @property
    def open_descriptors(self) -> int:
        """Return the number of descriptors that the table may close at any time."""
        return self.names.open_descriptors

    def get(self, number: int, kind: int = 0) -> Inode:
        """Return a known inode, the same object as long as somebody uses it."""
        inode = self._used.get(number)
        if inode is None:
            inode = self._used[number] = Inode(self.names, number, kind)
        return inode

    def open_as(self, handle: int) -> Inode | None:
        """Return the inode of a handle of an open file, None if the handle is not open."""
        number = self.names.of_handle(handle)
        return self.get(number) if number else None

    def find(self, parent: Inode, name: bytes) -> tuple[Inode, int]:
        """Return the inode and the kind of an entry, and add it to the table. Raises OSError."""
        number, kind = self.names.find(parent.number, name)
        return self.get(number, kind), kind

    @contextmanager
    def descriptor(self, inode: Inode) -> Iterator[int]:
        """Yield a descriptor of the file (O_PATH), which holds a removed file until it is closed.

        Raises OSError: ESTALE if the host has removed the file, EMFILE without descriptors.
        """
        fd = self.names.descriptor(inode.number)
        try:
            yield fd
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close and remove all files."""
        self.names.close()
