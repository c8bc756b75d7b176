"""A directory tree that no path leads out of.

Paths in a layer are resolved as a process with this root directory would resolve them: ``..`` stops at
the root, an absolute symlink starts again at the root, a relative one goes on where it stands. Each step
opens one name below an open directory with O_NOFOLLOW, and links are read and followed here, so that the
kernel never resolves a link of the image against the host's file system. The same result as
``RootPath`` of containerd's continuity package, without its path strings.
"""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EISDIR, ELOOP, ENAMETOOLONG, ENOTDIR, EPERM
from pathlib import Path
from types import TracebackType
from typing import Self

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MOST_LINKS = 255
"""Symlinks followed for one path, as continuity's ``RootPath`` allows."""
DEEPEST = 256
"""Nested directories: far beyond real images, and a bound for the recursion that removes them."""


@dataclass(frozen=True, slots=True)
class Directory:
    """An open directory and the names that lead to it from the root, no symlinks among them."""

    fd: int
    names: tuple[str, ...]


class Tree:
    """The tree below *root*, a directory the caller trusts (it may be reached through symlinks)."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._root)

    @contextmanager
    def directory(self, path: str, *, create: bool = False) -> Iterator[Directory]:
        """Open the directory *path* leads to from the root; missing ones are made, mode 0755, if *create*.

        Raises OSError: ENOTDIR below a file, ENOENT, ELOOP, and ENAMETOOLONG below `DEEPEST` directories.
        """
        fd = os.dup(self._root)
        names: list[str] = []
        pending = deque(path.split("/"))
        links = 0
        try:
            while pending:
                name = pending.popleft()
                if name in ("", "."):
                    continue
                if name == "..":
                    del names[-1:]
                    fd = self._move(fd, names)
                elif (child := _open_child(fd, name, create=create)) is not None:
                    os.close(fd)
                    fd = child
                    names.append(name)
                    if len(names) > DEEPEST:
                        raise OSError(ENAMETOOLONG, os.strerror(ENAMETOOLONG), path)
                else:
                    target = os.readlink(name, dir_fd=fd)
                    links += 1
                    if links > MOST_LINKS:
                        raise OSError(ELOOP, os.strerror(ELOOP), path)
                    if target.startswith("/"):
                        names.clear()
                        fd = self._move(fd, names)
                    pending.extendleft(reversed(target.split("/")))
            yield Directory(fd, tuple(names))
        finally:
            os.close(fd)

    def _move(self, fd: int, names: list[str]) -> int:
        """Open *names* from the root again and close *fd*, unless that fails."""
        at = os.dup(self._root)
        for name in names:
            try:
                child = os.open(name, DIRECTORY_FLAGS, dir_fd=at)
            finally:
                os.close(at)
            at = child
        os.close(fd)
        return at


def _open_child(fd: int, name: str, *, create: bool) -> int | None:
    """Open or make the directory *name*; None if it is a symlink."""
    while True:
        try:
            return os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
        except FileNotFoundError:
            if not create:
                raise
            os.mkdir(name, dir_fd=fd)
            os.chmod(name, 0o755, dir_fd=fd)  # whatever the umask
        except OSError as error:
            if error.errno not in (ENOTDIR, ELOOP):
                raise
            if not is_symlink(fd, name):
                raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), name) from None
            return None


def is_symlink(fd: int, name: str) -> bool:
    """Say whether *name* in the directory *fd* is a symlink."""
    return (os.lstat(name, dir_fd=fd).st_mode & 0o170000) == 0o120000


def remove(fd: int, name: str) -> None:
    """Remove *name* in the directory *fd* with all below it; nothing happens if it is not there."""
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (EISDIR, EPERM):
            raise
        child = os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
        try:
            for grandchild in os.listdir(child):  # noqa: PTH208 -- open, not a path
                remove(child, grandchild)
        finally:
            os.close(child)
        os.rmdir(name, dir_fd=fd)
