"""`Added` is a tree of the names that a layer has added, so that whiteouts hide only lower layers.

"Whiteout files MUST only apply to resources in lower/parent layers" (OCI image-spec, layer.md), in any order
within the layer. containerd's ``archive/tar.go`` follows this for opaque directories, for which it keeps the
unpacked paths; its named whiteouts also remove entries that the same layer added earlier. Here both kinds
follow the specification. The difference shows only in layers that no builder writes.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from errno import ELOOP, ENOENT, ENOTDIR
from typing import Self

from thinsim.workload.image.tarstream import TarEntry
from thinsim.workload.image.tree import remove
from thinsim.workload.image.walk import Walk


@dataclass(slots=True)
class Added:
    """An `Added` is a name that the layer has added, or a directory that leads to one.

    *directory* is the tar entry if the layer added the name as a directory.
    """

    directory: TarEntry | None = None
    children: dict[str, Self] = field(default_factory=dict)

    def at(self, names: Sequence[str]) -> Self:
        """Return the node that *names* lead to; make it first if it is missing."""
        node = self
        for name in names:
            node = node.children.setdefault(name, type(self)())
        return node

    def find(self, names: Sequence[str]) -> Self | None:
        """Return the node that *names* lead to, or None if the layer added nothing there."""
        node = self
        for name in names:
            if name not in node.children:
                return None
            node = node.children[name]
        return node


def uncover(fd: int, added: Added | None) -> None:
    """Remove from the directory *fd* everything that the layer did not add itself."""
    walk = Walk(os.dup(fd))
    left = [(os.listdir(fd), added)]
    try:
        while left:
            names, node = left[-1]
            if not names:
                left.pop()
                walk.leave(min(1, len(left)))
            elif (below := _kept(walk, names.pop(), node)) is not None:
                left.append((os.listdir(walk.fd), below))  # noqa: PTH208 -- open, not a path
    finally:
        walk.close()


def uncover_name(fd: int, name: str, added: Added | None) -> None:
    """Remove *name* in the directory *fd*; if the layer added it, remove only lower layers' files in it."""
    walk = Walk(os.dup(fd))
    try:
        below = _kept(walk, name, added)
        if below is not None:
            uncover(walk.fd, below)
    finally:
        walk.close()


def _kept(walk: Walk, name: str, added: Added | None) -> Added | None:
    """Remove *name* unless the layer added it; if a directory remains, enter it and return its node."""
    child = added.children.get(name) if added is not None else None
    if child is None:
        remove(walk.fd, name)
        return None
    try:
        walk.enter(name)
    except OSError as error:
        if error.errno not in (ENOENT, ENOTDIR, ELOOP):
            raise
        return None
    return child
