"""Goes up and down a tree with one open directory, however deep the tree is.

Going down opens a name below the open directory and going up opens its ``..``: no path that could be too
long, no descriptor for each level, no way back from the root for each step. ``fts`` of the C library walks
so, too, and compares device and inode on the way up, since a directory that was moved meanwhile has another
parent.
"""

import os
from collections.abc import Sequence
from errno import ESTALE

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Walk:
    """A walk from the open directory *fd*, which it owns."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        """The directory where the walk is."""
        self.length = 0
        """Bytes of the path that leads here, with a slash after each name."""
        self._names: list[str] = []
        self._parents: list[tuple[int, int]] = []

    @property
    def names(self) -> Sequence[str]:
        """The names that lead from where the walk began to where it is."""
        return self._names

    def enter(self, name: str) -> None:
        """Go down to the directory *name*; OSError if there is none: ENOTDIR or ELOOP for a symlink."""
        below = os.open(name, DIRECTORY_FLAGS, dir_fd=self.fd)
        self._parents.append(_identity(self.fd))
        self._names.append(name)
        self.length += len(os.fsencode(name)) + 1
        self._replace(below)

    def leave(self, levels: int = 1) -> None:
        """Go up *levels* directories; OSError (ESTALE) if one was moved since the walk came through it."""
        for _ in range(levels):
            above = os.open("..", DIRECTORY_FLAGS, dir_fd=self.fd)
            if _identity(above) != self._parents[-1]:
                os.close(above)
                raise OSError(ESTALE, f"moved while it was walked through: {self._names[-1]}")
            self._parents.pop()
            self.length -= len(os.fsencode(self._names.pop())) + 1
            self._replace(above)

    def close(self) -> None:
        """Close the directory."""
        os.close(self.fd)

    def _replace(self, fd: int) -> None:
        os.close(self.fd)
        self.fd = fd


def _identity(fd: int) -> tuple[int, int]:
    about = os.fstat(fd)
    return about.st_dev, about.st_ino
