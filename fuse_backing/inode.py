"""`Inode` is one file that the kernel knows, as far as Python needs it."""

import trio

from fuse_backing.extension import native


class Inode:
    """An `Inode` is one file, of any kind, of the table *names*."""

    __slots__ = ("__weakref__", "_changing", "_names", "kind", "number")

    def __init__(self, names: native.Names, number: int, kind: int) -> None:
        self._names = names
        self.number = number
        """The number that the kernel has for the file: the host's inode number, unless that is taken."""
        self.kind = kind
        """The file's type: one of ``stat.S_IF*``, or 0 if it was not looked at."""
        self._changing: trio.Lock | None = None

    @property
    def path(self) -> str:
        """Return the path of the last known link, from the root of the tree. Raises OSError (ESTALE)."""
        return self._names.path(self.number)

    @property
    def gate(self) -> int:
        """Return the number of the channel's gate of the file, -1 if it was never open."""
        return self._names.gate(self.number)

    @property
    def changing(self) -> trio.Lock:
        """Return the lock that is held while the file's allocation is changed: see ``sparsefile``."""
        if self._changing is None:
            self._changing = trio.Lock()
        return self._changing
