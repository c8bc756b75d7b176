"""`unpack_layer` applies one layer to a directory, as containerd applies it to a snapshot.

It follows ``applyNaive`` in containerd's ``archive/tar.go`` and the OCI image-spec's layer.md. An entry
replaces an existing file of its name, unless both are directories. ``.wh.NAME`` removes NAME, and
``.wh..wh..opq`` removes the lower layers' content of its directory. Missing parents are made with mode 0755.
Entries that resolve to the root itself are skipped. Directories get their times last. Every path is
resolved within the root (`tree`), so no name or link reaches outside.
"""

import os
import posixpath
import stat
from collections.abc import Callable
from dataclasses import dataclass
from errno import EEXIST, EISDIR, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOTDIR
from pathlib import Path
from typing import BinaryIO

from thinsim.workload.image import entries
from thinsim.workload.image.added import Added, uncover, uncover_name
from thinsim.workload.image.errors import InvalidImageError, shown
from thinsim.workload.image.tarstream import PIECE_SIZE, EntryKind, TarEntry, TarReader
from thinsim.workload.image.tree import Tree, remove
from thinsim.workload.image.walk import Walk

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"

_UNREAD = {
    "7": " (a contiguous file)",
    "D": " (a directory of GNU tar's incremental dumps)",
    "M": " (a file continued from another volume)",
    "N": " (a long name of old GNU tars)",
    "S": " (a sparse file in GNU tar's own format; tar --format=posix writes another)",
    "V": " (a volume's label)",
    "X": " (an extended header of Solaris)",
}

_FAULTS_OF_THE_LAYER = frozenset({EEXIST, EISDIR, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOTDIR})
"""Error numbers that only names in the layer can cause; the caller gets all others as OSError."""


@dataclass(frozen=True, slots=True)
class UnpackResult:
    """An `UnpackResult` counts the effects of a layer.

    *files* counts the files made, links and devices included, directories not; *bytes* is their content.
    *whiteouts* counts applied whiteouts. *skipped* counts the devices and xattrs that this process or file
    system does not support.
    """

    files: int
    bytes: int
    whiteouts: int
    skipped: int


def unpack_layer(
    stream: BinaryIO, root: Path, *, progress: Callable[[int], None] | None = None
) -> UnpackResult:
    """Apply the uncompressed layer tar *stream* to the directory *root* and read *stream* to its end.

    Root also sets owners and makes devices. *progress* is called with the bytes of content written so far, at
    every entry and every MiB, even of data after the tar's end; an exception from it ends the unpacking.
    Raises InvalidImageError for a malformed layer, and OSError, which names the entry, if the file system
    refuses an operation (ENOSPC, EIO).
    """
    label = str(getattr(stream, "name", "layer"))
    with Tree(root) as tree:
        unpacking = _Unpacking(tree, TarReader(stream, label), label, progress)
        for entry in unpacking.reader:
            try:
                unpacking.apply(entry)
            except OSError as error:
                text = f"can't be made: {error.strerror}"
                if error.errno not in _FAULTS_OF_THE_LAYER:
                    raise OSError(error.errno, str(unpacking.fault(entry, text))) from error
                raise unpacking.fault(entry, text) from None
            except entries.UnmakeableEntryError as error:
                raise unpacking.fault(entry, str(error)) from None
        unpacking.finish_directories()
    while stream.read(PIECE_SIZE):  # a stream verifies its digest only at its end
        if progress is not None:
            progress(unpacking.bytes)
    return UnpackResult(unpacking.files, unpacking.bytes, unpacking.whiteouts, unpacking.skipped)


class _Unpacking:
    """An `_Unpacking` is a layer that is being applied."""

    def __init__(
        self, tree: Tree, reader: TarReader, label: str, progress: Callable[[int], None] | None
    ) -> None:
        self.reader = reader
        self.files = self.bytes = self.whiteouts = self.skipped = 0
        self._tree = tree
        self._label = label
        self._progress = progress
        self._added = Added()

    def apply(self, entry: TarEntry) -> None:
        self._wrote(0)
        # normpath, like Go's filepath.Clean in containerd, makes b of a/../b even if a is a symlink
        parent, base = posixpath.split(posixpath.normpath(entry.name))
        if base in ("", ".", ".."):
            return
        self._tree.go_to(parent, create=True, room=len(os.fsencode(base)))
        if entry.kind is EntryKind.GLOBAL_HEADER:
            return  # containerd makes only its parent directories
        if base == _OPAQUE:
            uncover(self._tree.fd, self._added.find(self._tree.names))
            self.whiteouts += 1
        elif base.startswith(_WHITEOUT):
            self._white_out(base.removeprefix(_WHITEOUT))
        else:
            self._replace(entry, base)

    def _white_out(self, name: str) -> None:
        if name in ("", ".", ".."):
            raise entries.UnmakeableEntryError("is a whiteout without a name")
        uncover_name(self._tree.fd, name, self._added.find(self._tree.names))
        self.whiteouts += 1

    def _replace(self, entry: TarEntry, name: str) -> None:
        parent = self._added.at(self._tree.names)
        if entry.kind is EntryKind.DIRECTORY:
            if not _is_directory(self._tree.fd, name):
                remove(self._tree.fd, name)
                parent.children.pop(name, None)
            self.skipped += entries.make_directory(self._tree.fd, name, entry)
            parent.children.setdefault(name, Added()).directory = entry
            return
        remove(self._tree.fd, name)
        parent.children[name] = Added()
        skipped = self._make(entry, name)
        if skipped is None:
            self.skipped += 1
        else:
            self.skipped += skipped
            self.files += 1

    def _make(self, entry: TarEntry, name: str) -> int | None:
        match entry.kind:
            case EntryKind.FILE:
                return entries.make_file(self._tree.fd, name, entry, self.reader, self._wrote)
            case EntryKind.SYMLINK:
                return entries.make_symlink(self._tree.fd, name, entry)
            case EntryKind.HARD_LINK:
                return entries.make_hard_link(self._tree.fd, name, entry, self._tree)
            case EntryKind.OTHER:
                raise entries.UnmakeableEntryError(
                    f"has type {entry.flag!r}{_UNREAD.get(entry.flag, '')}, "
                    "which neither thinsim nor containerd unpacks"
                )
            case _:
                return entries.make_device(self._tree.fd, name, entry)

    def _wrote(self, size: int) -> None:
        self.bytes += size
        if self._progress is not None:
            self._progress(self.bytes)

    def finish_directories(self) -> None:
        """Set the times of the layer's directories, the deepest first."""
        self._tree.go_to("")
        walk = Walk(os.dup(self._tree.fd))
        left = [(iter(self._added.children.items()), self._added)]
        try:
            while left:
                children, node = left[-1]
                name, child = next(children, ("", None))
                if child is not None:
                    if (child.directory is not None or child.children) and _entered(walk, name):
                        left.append((iter(child.children.items()), child))
                    continue
                if node.directory is not None:
                    entries.finish_directory(walk.fd, node.directory)
                left.pop()
                walk.leave(min(1, len(left)))
        finally:
            walk.close()

    def fault(self, entry: TarEntry, text: str) -> InvalidImageError:
        return InvalidImageError(f"{self._label}: entry {shown(entry.name)} {text}")


def _entered(walk: Walk, name: str) -> bool:
    """Enter the directory *name*; return False if a later entry of the layer has replaced it."""
    try:
        walk.enter(name)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _is_directory(fd: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=fd).st_mode)
    except FileNotFoundError:
        return False
