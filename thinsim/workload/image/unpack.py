"""Applies one layer to a directory, as containerd applies it to a snapshot.

Follows ``applyNaive`` in containerd's ``archive/tar.go`` and the OCI image-spec's layer.md: an entry
replaces what has its name, unless both are directories; ``.wh.NAME`` removes NAME and ``.wh..wh..opq``
empties its directory of what lower layers put there; missing parents are made with mode 0755; entries
that resolve to the root itself are passed over; directories get their attributes last. Every path is
resolved within the root (`tree`), so no layer reaches outside, whatever its names and links say.
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
    "M": " (a file that goes on in another volume)",
    "N": " (a long name of old GNU tars)",
    "S": " (a sparse file as GNU tar's own format has it; tar --format=posix has another)",
    "V": " (a volume's label)",
    "X": " (an extended header of Solaris)",
}

_FAULTS_OF_THE_LAYER = frozenset({EEXIST, EISDIR, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOTDIR})
"""What only names in the layer can cause; any other errno is the file system's and goes to the caller."""


@dataclass(frozen=True, slots=True)
class UnpackResult:
    """What a layer did: *files* made (links and devices too, directories not), their *bytes* of content,
    *whiteouts* applied, and devices and xattrs *skipped* because this process or file system can't have them.
    """

    files: int
    bytes: int
    whiteouts: int
    skipped: int


def unpack_layer(
    stream: BinaryIO, root: Path, *, progress: Callable[[int], None] | None = None
) -> UnpackResult:
    """Apply the uncompressed layer tar *stream* to the directory *root* and read it to its end.

    Owners are set, and devices made, when running as root. *progress* is called with the bytes of content
    written so far at every entry and every MiB, also of what follows the end; what it raises ends the
    unpacking. Raises InvalidImageError for a malformed layer, and OSError, which names the entry, for what
    the file system refuses (ENOSPC, EIO).
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
    while stream.read(PIECE_SIZE):  # so that a stream which verifies its digest sees all of it
        if progress is not None:
            progress(unpacking.bytes)
    return UnpackResult(unpacking.files, unpacking.bytes, unpacking.whiteouts, unpacking.skipped)


class _Unpacking:
    """A layer half applied."""

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
        # normpath as Go's filepath.Clean: a/../b is b even where a is a symlink, as containerd has it
        parent, base = posixpath.split(posixpath.normpath(entry.name))
        if base in ("", ".", ".."):
            return
        self._tree.go_to(parent, create=True, room=len(os.fsencode(base)))
        if entry.kind is EntryKind.GLOBAL_HEADER:
            return  # containerd makes the parent directories of one, and nothing more
        if base == _OPAQUE:
            uncover(self._tree.fd, self._added.find(self._tree.names))
            self.whiteouts += 1
        elif base.startswith(_WHITEOUT):
            self._white_out(base.removeprefix(_WHITEOUT))
        else:
            self._replace(entry, base)

    def _white_out(self, name: str) -> None:
        if name in ("", ".", ".."):
            raise entries.UnmakeableEntryError("is a whiteout of no name")
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
    """Enter the directory *name*, which the layer may have made something else of since."""
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
