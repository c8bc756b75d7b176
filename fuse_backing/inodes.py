"""`InodeTable` has the files that the kernel knows, with their names, inode numbers and lookup counts.

Each known file is held open with O_PATH. So its host inode is not reused while the kernel remembers its
number, and the file stays reachable, through /proc/self/fd, after a rename or unlink.

The table has only regular files of the directory. A symbolic link, a directory or a socket in it is hidden: a
lookup is ENOENT, a creation of the same name is EEXIST, and nothing follows or removes it.
"""

import errno
import os
import stat

import trio

ROOT_NUMBER = 1
_FIRST_OWN_NUMBER = 1 << 62


class Inode:
    """An `Inode` is one file that the kernel knows."""

    __slots__ = ("changing", "key", "lookups", "name", "number", "path_fd")

    def __init__(self, number: int, key: tuple[int, int], name: bytes, path_fd: int) -> None:
        self.number = number
        """The number that the kernel has for the file: the host's inode number, unless that is taken."""
        self.key = key
        """The host's device and inode number."""
        self.name = name
        """The last known name."""
        self.path_fd = path_fd
        self.lookups = 0
        self.changing = trio.Lock()
        """Held while the file's allocation is changed: see ``sparsefile``."""

    @property
    def proc_path(self) -> str:
        """Return a path that leads to this file even after a rename or unlink."""
        return f"/proc/self/fd/{self.path_fd}"


class InodeTable:
    """An `InodeTable` has the regular files of one directory that the kernel knows."""

    def __init__(self, directory_fd: int) -> None:
        self._directory = directory_fd
        self._by_number: dict[int, Inode] = {}
        self._by_key: dict[tuple[int, int], Inode] = {}
        self._next_own_number = _FIRST_OWN_NUMBER

    def __len__(self) -> int:
        return len(self._by_number)

    def check_name(self, name: bytes) -> None:
        """Raise OSError (EINVAL) unless *name* can be an entry of this directory."""
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def stat(self, name: bytes) -> os.stat_result:
        """Return the status of a regular file. Raises OSError, ENOENT also for a hidden entry."""
        self.check_name(name)
        status = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise _missing()
        return status

    def stat_or_refuse(self, name: bytes) -> os.stat_result | None:
        """Return the status of a regular file, None if the name is free. Raises EEXIST for a hidden entry."""
        self.check_name(name)
        try:
            status = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        return status

    def known(self, status: os.stat_result) -> Inode | None:
        """Return the known inode with that status, or None."""
        return self._by_key.get((status.st_dev, status.st_ino))

    def find(self, name: bytes) -> Inode:
        """Return the inode of a regular file, and add it to the table. The caller counts the lookup.

        Raises OSError, ENOENT also for a hidden entry.
        """
        self.check_name(name)
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=self._directory)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise _missing()
            inode = self.known(status)
            if inode is not None:
                inode.name = name
                return inode
            inode = Inode(self._free_number(status.st_ino), (status.st_dev, status.st_ino), name, fd)
            fd = -1
        finally:
            if fd != -1:
                os.close(fd)
        self._by_number[inode.number] = inode
        self._by_key[inode.key] = inode
        return inode

    def find_or_refuse(self, name: bytes) -> Inode:
        """Return the inode of an existing regular file. Raises EEXIST for a hidden entry."""
        self.stat_or_refuse(name)
        return self.find(name)

    def get(self, number: int) -> Inode:
        """Return a known inode. Raises OSError (ESTALE)."""
        inode = self._by_number.get(number)
        if inode is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return inode

    def forget(self, number: int, count: int) -> Inode | None:
        """Subtract *count* lookups; return the inode if none is left: the caller closes its ``path_fd``."""
        inode = self._by_number.get(number)
        if inode is None:
            return None
        inode.lookups -= count
        if inode.lookups > 0:
            return None
        del self._by_number[inode.number]
        del self._by_key[inode.key]
        return inode

    def close(self) -> None:
        """Close and remove all files."""
        for inode in self._by_number.values():
            os.close(inode.path_fd)
        self._by_number.clear()
        self._by_key.clear()

    def _free_number(self, wanted: int) -> int:
        if wanted > ROOT_NUMBER and wanted < _FIRST_OWN_NUMBER and wanted not in self._by_number:
            return wanted
        self._next_own_number += 1
        return self._next_own_number


def _missing() -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
