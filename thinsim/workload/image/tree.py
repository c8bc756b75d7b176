"""Opens a directory tree that no path leads out of.

Paths in a layer are resolved as a process with this root directory would resolve them: ``..`` stops at
the root, an absolute symlink starts again at the root, a relative one goes on where it stands. Each step
opens one name below an open directory with O_NOFOLLOW, and links are read and followed here, so that the
kernel never resolves a link of the image against the host's file system. The same result as
``RootPath`` of containerd's continuity package, without its path strings.
"""

import os
from collections import deque
from collections.abc import Sequence
from errno import EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM
from pathlib import Path
from types import TracebackType
from typing import Self

from thinsim.workload.image.walk import Walk

MOST_LINKS = 255
"""Symlinks followed for one path, as continuity's ``RootPath`` allows."""
LONGEST_PATH = 4095 - len("/var/lib/containerd/tmpmounts/containerd-mount1234567890/")
"""Bytes of a path within the root: PATH_MAX, less a NUL and the place where containerd mounts a snapshot."""


class Tree:
    """The tree below *root*, a directory the caller trusts (it may be reached through symlinks).

    One directory is open, the one that `go_to` went to last. Nothing may be removed but in that one.
    """

    def __init__(self, root: Path) -> None:
        self._walk = Walk(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._walk.close()

    @property
    def fd(self) -> int:
        """The directory that `go_to` went to; it stays open until the next `go_to`."""
        return self._walk.fd

    @property
    def names(self) -> Sequence[str]:
        """The names that lead to it from the root, no symlinks among them."""
        return self._walk.names

    def go_to(self, path: str, *, create: bool = False, room: int = 0) -> None:
        """Go to the directory *path* leads to from the root; missing ones are made, mode 0755, if *create*.

        *room* is what a name there has in bytes. Raises OSError: ENOTDIR below a file, ENOENT, ELOOP, and
        ENAMETOOLONG beyond `LONGEST_PATH`.
        """
        pending = deque(part for part in path.split("/") if part not in ("", "."))
        self._return_to_common(pending)
        absent: list[str] = []
        links = 0
        while pending:
            name = pending.popleft()
            if name == "..":
                if absent:
                    absent.pop()
                elif self.names:
                    self._walk.leave()
            elif absent:
                absent.append(name)
            elif self._entered(name):
                continue
            elif (target := self._link_target(name)) is None:
                absent.append(name)
            else:
                links += 1
                if links > MOST_LINKS:
                    raise OSError(ELOOP, os.strerror(ELOOP), name)
                if target.startswith("/"):
                    self._walk.leave(len(self.names))
                pending.extendleft(part for part in reversed(target.split("/")) if part not in ("", "."))
        if self._walk.length + sum(len(os.fsencode(name)) + 1 for name in absent) + room > LONGEST_PATH:
            raise OSError(ENAMETOOLONG, os.strerror(ENAMETOOLONG), path)
        self._make(absent, create=create)

    def _return_to_common(self, pending: deque[str]) -> None:
        """Go back to the deepest directory that *pending* leads through, and take the way there off it."""
        common = 0
        for name, wanted in zip(self.names, pending, strict=False):
            if name != wanted:
                break
            common += 1
        self._walk.leave(len(self.names) - common)
        for _ in range(common):
            pending.popleft()

    def _entered(self, name: str) -> bool:
        """Go down to the directory *name*; False if it is none."""
        try:
            self._walk.enter(name)
        except OSError as error:
            if error.errno not in (ENOENT, ENOTDIR, ELOOP):
                raise
            return False
        return True

    def _link_target(self, name: str) -> str | None:
        """Return the target of the symlink *name*; None if it is none."""
        try:
            return os.readlink(name, dir_fd=self.fd)
        except OSError as error:
            if error.errno not in (ENOENT, EINVAL):
                raise
            return None

    def _make(self, names: list[str], *, create: bool) -> None:
        for name in names:
            if create:
                try:
                    os.mkdir(name, dir_fd=self.fd)
                except FileExistsError:
                    raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), name) from None
                os.chmod(name, 0o755, dir_fd=self.fd)  # whatever the umask
            self._walk.enter(name)


def is_symlink(fd: int, name: str) -> bool:
    """Say whether *name* in the directory *fd* is a symlink."""
    return (os.lstat(name, dir_fd=fd).st_mode & 0o170000) == 0o120000


def remove(fd: int, name: str) -> None:
    """Remove *name* in the directory *fd* with all below it, however deep, if it is there."""
    if _unlinked(fd, name):
        return
    walk = Walk(os.dup(fd))
    try:
        walk.enter(name)
        left = [os.listdir(walk.fd)]  # noqa: PTH208 -- open, not a path
        while left:
            if not left[-1]:
                gone = walk.names[-1]
                walk.leave()
                os.rmdir(gone, dir_fd=walk.fd)
                left.pop()
            elif not _unlinked(walk.fd, child := left[-1].pop()):
                walk.enter(child)
                left.append(os.listdir(walk.fd))  # noqa: PTH208 -- open, not a path
    finally:
        walk.close()


def _unlinked(fd: int, name: str) -> bool:
    """Remove *name* unless it is a directory, which False says."""
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (EISDIR, EPERM):
            raise
        return False
    return True
