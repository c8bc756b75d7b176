"""A `Tree` resolves paths below a root directory, and no path leads out of it.

Paths in a layer are resolved as a process with this root directory would resolve them. ``..`` stops at the
root, an absolute symlink starts again at the root, a relative one continues in its own directory. Each step
opens one name below an open directory with O_NOFOLLOW. Symlinks are read and followed here, so the kernel
never resolves a symlink of the image against the host's file system. The result is that of ``RootPath`` in
containerd's continuity package, without its path strings.
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
"""Symlinks that are followed for one path; the limit is that of continuity's ``RootPath``."""

LONGEST_PATH = 4095 - len("/var/lib/containerd/tmpmounts/containerd-mount1234567890/")
"""Longest path within the root in bytes: PATH_MAX less a NUL and containerd's mount point of a snapshot."""


class Tree:
    """A `Tree` is the tree below *root*, which the caller trusts (its path may contain symlinks).

    Only the directory that `go_to` went to last is open. Entries may be removed only in that directory.
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
        """Return the descriptor of the directory that `go_to` went to, open until the next `go_to`."""
        return self._walk.fd

    @property
    def names(self) -> Sequence[str]:
        """Return the names that lead to that directory from the root; none is a symlink."""
        return self._walk.names

    def go_to(self, path: str, *, create: bool = False, room: int = 0) -> None:
        """Go to the directory that *path* leads to from the root.

        With *create*, missing directories are made, mode 0755. *room* is the size in bytes of a name to be
        used there. Raises OSError: ENOTDIR below a file, ENOENT, ELOOP, and ENAMETOOLONG if path and name
        exceed `LONGEST_PATH`.
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
        """Go back to the deepest directory that *pending* leads through; remove the names up to it."""
        common = 0
        for name, wanted in zip(self.names, pending, strict=False):
            if name != wanted:
                break
            common += 1
        self._walk.leave(len(self.names) - common)
        for _ in range(common):
            pending.popleft()

    def _entered(self, name: str) -> bool:
        """Go down to the directory *name*; return False if it is not a directory."""
        try:
            self._walk.enter(name)
        except OSError as error:
            if error.errno not in (ENOENT, ENOTDIR, ELOOP):
                raise
            return False
        return True

    def _link_target(self, name: str) -> str | None:
        """Return the target of the symlink *name*; None if it is not a symlink."""
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
                os.chmod(name, 0o755, dir_fd=self.fd)  # the umask must not count
            self._walk.enter(name)


def is_symlink(fd: int, name: str) -> bool:
    """Return whether *name* in the directory *fd* is a symlink."""
    return (os.lstat(name, dir_fd=fd).st_mode & 0o170000) == 0o120000


def remove(fd: int, name: str) -> None:
    """Remove *name* in the directory *fd* and everything below it, at any depth, if it exists."""
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
    """Remove *name* and return True; return False if it is a directory."""
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (EISDIR, EPERM):
            raise
        return False
    return True
