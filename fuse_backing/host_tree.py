"""`HostTree` opens files of a directory tree by name, and never leaves the tree.

It follows no symbolic link, and enters no other file system: a mountpoint in the tree is EXDEV.
"""

import errno
import os
import stat
from collections.abc import Iterator

from fuse_backing.descriptor_calls import open_beneath

_OPEN = os.O_PATH | os.O_NOFOLLOW
_MOST_MOVES = 8
"""Times that an entry which may have been moved meanwhile is opened again."""
_NO_OPENAT2 = frozenset({errno.ENOSYS, errno.EPERM})


class HostTree:
    """A `HostTree` opens what is below the directory open as *root*, which its opener closes."""

    def __init__(self, root: int) -> None:
        self.root = root
        self._device = os.fstat(root).st_dev
        self._has_openat2 = _has_openat2(root)

    def open_entry(self, directory: int, name: bytes) -> int:
        """Open an entry of a directory of the tree with O_PATH; a symbolic link is opened itself.

        Raises OSError: EINVAL if *name* cannot be an entry's, EXDEV if another file system is mounted there.
        """
        check_name(name)
        if self._has_openat2:
            return _opened(directory, name)
        fd = os.open(name, _OPEN, dir_fd=directory)
        if os.fstat(fd).st_dev != self._device:
            os.close(fd)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return fd

    def open_path(self, path: bytes) -> int:
        """Open a file with O_PATH by its path from the root. Raises OSError."""
        fd = os.open(".", os.O_PATH | os.O_DIRECTORY, dir_fd=self.root)
        for name in path.split(b"/") if path else []:
            try:
                entry = self.open_entry(fd, name)
            finally:
                os.close(fd)
            fd = entry
        return fd

    def regular_files(self) -> Iterator[str]:
        """Yield the paths of all regular files, a directory's own before those below it, sorted.

        A directory that cannot be read is left out, except the root itself. Raises OSError.
        """
        waiting = [b""]
        while waiting:
            directory = waiting.pop()
            try:
                files, directories = self._listed(directory)
            except OSError:
                if not directory:
                    raise
                continue
            yield from map(os.fsdecode, files)
            waiting += reversed(directories)

    def _listed(self, directory: bytes) -> tuple[list[bytes], list[bytes]]:
        """Return the paths of the regular files and of the directories of one directory."""
        place = self.open_path(directory)
        try:
            fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=place)
        finally:
            os.close(place)
        before = directory + b"/" if directory else b""
        files, directories = [], []
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    path = before + os.fsencode(entry.name)
                    if entry.is_file(follow_symlinks=False):
                        files.append(path)
                    elif entry.is_dir(follow_symlinks=False):
                        directories.append(path)
        finally:
            os.close(fd)
        return sorted(files), sorted(directories)


def _opened(directory: int, name: bytes) -> int:
    """Open an entry by openat2(2). A mountpoint is EXDEV each time.

    An entry that the host moves out of the directory meanwhile is EXDEV as well (fs/namei.c, complete_walk).
    """
    for _ in range(_MOST_MOVES):
        try:
            return open_beneath(directory, name, _OPEN)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
    return open_beneath(directory, name, _OPEN)


def check_name(name: bytes) -> None:
    """Raise OSError (EINVAL) unless *name* can be an entry of a directory."""
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def is_regular(fd: int) -> bool:
    """Return whether a descriptor is one of a regular file."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def _has_openat2(root: int) -> bool:
    """Return whether the kernel has openat2(2), and no sandbox refuses it."""
    try:
        os.close(open_beneath(root, b".", os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        if error.errno not in _NO_OPENAT2:
            raise
        return False
    return True
