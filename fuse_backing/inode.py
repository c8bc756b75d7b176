"""`Inode` is one file that the kernel knows, with its place in the tree."""

import os
import stat

import trio

_DEEPEST = 4096
_KINDS = {
    kind: kind
    for kind in (
        stat.S_IFREG,
        stat.S_IFDIR,
        stat.S_IFLNK,
        stat.S_IFIFO,
        stat.S_IFSOCK,
        stat.S_IFBLK,
        stat.S_IFCHR,
    )
}


class Inode:
    """An `Inode` is one file, of any kind, that the kernel knows."""

    __slots__ = (
        "_changing",
        "device",
        "fd",
        "handle",
        "host_number",
        "kind",
        "lookups",
        "name",
        "number",
        "parent",
        "pins",
    )

    def __init__(self, number: int, status: os.stat_result, handle: bytes | None, fd: int) -> None:
        self.number = number
        """The number that the kernel has for the file: the host's inode number, unless that is taken."""
        self.device = status.st_dev
        self.host_number = number if status.st_ino == number else status.st_ino
        self.handle = handle
        """The host's handle of the file, None if the host has none."""
        self.kind = _KINDS.get(stat.S_IFMT(status.st_mode), 0)
        """The file's type: one of ``stat.S_IF*``."""
        self.parent: Inode | None = None
        """The directory of the last known link; None for the root."""
        self.name = b""
        """The name of the last known link."""
        self.fd = fd
        """A descriptor of the file, or -1; see ``InodeTable.descriptor``."""
        self.lookups = 0
        self.pins = 0
        """The number of reasons why the descriptor must stay open."""
        self._changing: trio.Lock | None = None

    @property
    def path(self) -> str:
        """Return the path of the last known link, from the root of the tree."""
        names: list[bytes] = []
        inode = self
        # Directories that the host moved into each other can make a circle, until they are looked up again.
        while inode.parent is not None and len(names) < _DEEPEST:
            names.append(inode.name)
            inode = inode.parent
        return os.fsdecode(b"/".join(reversed(names)))

    @property
    def changing(self) -> trio.Lock:
        """Return the lock that is held while the file's allocation is changed: see ``sparsefile``."""
        if self._changing is None:
            self._changing = trio.Lock()
        return self._changing
