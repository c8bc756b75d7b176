"""A `Walk` goes up and down a tree of any depth with only one open directory.

Going down opens a name below the open directory, going up opens its ``..``. So no path can become too long,
no level needs a descriptor, and no step starts from the root. The C library's ``fts`` does the same. Both
compare device and inode on the way up, since a directory that was moved has another parent.
"""

import os
from collections.abc import Sequence
from errno import ESTALE

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Walk:
    """A `Walk` starts at the open directory *fd*, which it owns."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        """Descriptor of the current directory."""
        self.length = 0
        """Size in bytes of the path from the start to here, with a slash after each name."""
        self._names: list[str] = []
        self._parents: list[tuple[int, int]] = []

    @property
    def names(self) -> Sequence[str]:
        """Return the names that lead from the start to the current directory."""
        return self._names

    def enter(self, name: str) -> None:
        """Go down to the directory *name*. Raises OSError, with ENOTDIR or ELOOP for a symlink."""
        below = os.open(name, DIRECTORY_FLAGS, dir_fd=self.fd)
        self._parents.append(_identity(self.fd))
        self._names.append(name)
        self.length += len(os.fsencode(name)) + 1
        self._replace(below)

    def leave(self, levels: int = 1) -> None:
        """Go up *levels* directories. Raises OSError (ESTALE) if one was moved since the walk entered it."""
        for _ in range(levels):
            above = os.open("..", DIRECTORY_FLAGS, dir_fd=self.fd)
            if _identity(above) != self._parents[-1]:
                os.close(above)
                raise OSError(ESTALE, f"moved while thinsim was in it: {self._names[-1]}")
            self._parents.pop()
            self.length -= len(os.fsencode(self._names.pop())) + 1
            self._replace(above)

    def close(self) -> None:
        """Close the current directory."""
        os.close(self.fd)

    def _replace(self, fd: int) -> None:
        os.close(self.fd)
        self.fd = fd


def _identity(fd: int) -> tuple[int, int]:
    about = os.fstat(fd)
    return about.st_dev, about.st_ino
