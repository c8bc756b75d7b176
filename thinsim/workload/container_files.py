"""`write_container_files` creates, overwrites and deletes files as a container does in its root file system.

Each kind of change uses the pool in its own way. A new file takes new blocks. A file overwritten in place
makes the pool copy blocks that it shares with the image. A deleted file frees blocks in the file system, and
in the layers below if a discard follows. The same tree, size and seed give the same operations and content.
"""

import contextlib
import os
import random
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from thinsim.workload.image.walk import Walk

DIRECTORY = "thinsim-data"
"""Directory below the root that contains the created files."""

_PIECE = 1 << 20
_BIG_FILE = 16 << 20
_SMALL_FILES = (1 << 10, 64 << 10)
_MOST_OVERWRITTEN = 4 << 20
_OVERWRITTEN_PER_FILE = 64 << 10
_MOST_IMAGE_FILES_DELETED = 16
_STRIDES = 64
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class ContainerWrites:
    """A `ContainerWrites` reports how many files were *created*, *overwritten* and *deleted*.

    *deleted* counts temporary files and image files. *bytes_written* includes the bytes of overwritten files
    and of temporary files.
    """

    created: int
    overwritten: int
    deleted: int
    bytes_written: int


def write_container_files(
    root: Path, size: int, *, seed: int = 1, progress: Callable[[int], None] | None = None
) -> ContainerWrites:
    """Write on the tree *root* as a container does; *size* bytes of new files remain.

    Half of *size* goes to big files and half to small ones. Temporary files of another eighth of *size* are
    created and deleted. Up to 4 MiB of image files are overwritten, but no more than an eighth of *size*, and
    up to 16 image files are deleted. With *size* 0 the only change is one empty file. Content is random and
    does not compress. No symlink is followed. *progress* is called at every file and every MiB with the bytes
    written so far; an exception from it ends the writing. Raises OSError if the file system refuses an
    operation.
    """
    writing = _Writing(seed, progress)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        image_files = list(_image_files(fd)) if size else []
        writing.create(fd, size, seed)
        writing.change_image(fd, image_files, min(_MOST_OVERWRITTEN, size // 8))
    finally:
        os.close(fd)
    return ContainerWrites(writing.created, writing.overwritten, writing.deleted, writing.bytes_written)


def container_writes(size: int) -> int:
    """Return the bytes that `write_container_files` writes on a tree with enough files to overwrite."""
    return size + size // 8 + min(_MOST_OVERWRITTEN, size // 8)


class _Writing:
    """A `_Writing` performs and counts the writes of one container."""

    def __init__(self, seed: int, progress: Callable[[int], None] | None) -> None:
        self.created = self.overwritten = self.deleted = self.bytes_written = 0
        self._random = random.Random(seed)
        self._progress = progress

    def create(self, root: int, size: int, seed: int) -> None:
        """Create the files; each seed has its own directory."""
        top = _make_directory(root, DIRECTORY)
        try:
            own = _make_directory(top, f"seed-{seed}")
        finally:
            os.close(top)
        try:
            if not size:
                self._file(own, "touched", 0)
                return
            temporary = []
            for number, (kind, length) in enumerate(self._plan(size)):
                name = f"{kind}-{number:06}"
                self._file(own, name, length)
                if kind == "temporary":
                    temporary.append(name)
            for name in temporary:
                os.unlink(name, dir_fd=own)
                self.deleted += 1
        finally:
            os.close(own)

    def _plan(self, size: int) -> Iterator[tuple[str, int]]:
        for kind, total in (("big", size // 2), ("small", size - size // 2), ("temporary", size // 8)):
            left = total
            while left:
                length = min(left, _BIG_FILE if kind == "big" else self._random.randint(*_SMALL_FILES))
                yield kind, length
                left -= length

    def change_image(self, root: int, files: list[str], budget: int) -> None:
        """Overwrite *budget* bytes of the image's *files* in place, and delete a few others."""
        deleted = set(list(_spread(files))[: min(_MOST_IMAGE_FILES_DELETED, len(files) // 8)])
        for path in _spread([path for path in files if path not in deleted]):
            if budget <= 0:
                break
            budget -= self._overwrite(root, path, budget)
        for path in sorted(deleted):
            directory, name = _open_parent(root, path)
            try:
                os.unlink(name, dir_fd=directory)
            finally:
                os.close(directory)
            self.deleted += 1

    def _overwrite(self, root: int, path: str, budget: int) -> int:
        """Overwrite the middle of a file without changing its size; return the bytes written."""
        directory, name = _open_parent(root, path)
        try:
            fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        except PermissionError:
            return 0  # the file is read-only and this process is not root
        finally:
            os.close(directory)
        with os.fdopen(fd, "wb") as file:  # "wb" does not truncate a file opened from a descriptor
            size = os.fstat(fd).st_size
            offset = size // 2 // 4096 * 4096
            length = min(size - offset, _OVERWRITTEN_PER_FILE, budget)
            file.seek(offset)
            file.write(self._random.randbytes(length))
        self.overwritten += 1
        self._wrote(length)
        return length

    def _file(self, directory: int, name: str, length: int) -> None:
        with os.fdopen(os.open(name, _CREATE, 0o644, dir_fd=directory), "wb") as file:
            self.created += 1
            left = length
            while left:
                piece = self._random.randbytes(min(left, _PIECE))
                file.write(piece)
                left -= len(piece)
                self._wrote(len(piece))
        self._wrote(0)

    def _wrote(self, length: int) -> None:
        self.bytes_written += length
        if self._progress is not None:
            self._progress(self.bytes_written)


def _image_files(root: int) -> Iterator[str]:
    """Yield the non-empty regular files below the directory *root*, sorted, except those in `DIRECTORY`.

    The files of a directory come before its directories. Unreadable directories are skipped.
    """
    walk = Walk(os.dup(root))
    try:
        files, directories = _sorted_entries(walk.fd)
        left = [[name for name in directories if name != DIRECTORY]]
        yield from files
        while left:
            if not left[-1]:
                left.pop()
                walk.leave(min(1, len(left)))
                continue
            try:
                walk.enter(left[-1].pop())
            except PermissionError:
                continue
            files, directories = _sorted_entries(walk.fd)
            above = "/".join(walk.names)
            yield from (f"{above}/{name}" for name in files)
            left.append(directories)
    finally:
        walk.close()


def _sorted_entries(fd: int) -> tuple[list[str], list[str]]:
    """Return the non-empty files in the directory *fd*, sorted, and its directories in reverse order."""
    files, directories = [], []
    for name in sorted(os.listdir(fd), reverse=True):
        about = os.lstat(name, dir_fd=fd)
        if stat.S_ISDIR(about.st_mode):
            directories.append(name)
        elif stat.S_ISREG(about.st_mode) and about.st_size:
            files.append(name)
    return files[::-1], directories


def _spread(items: list[str]) -> Iterator[str]:
    """Yield all *items*, in an order that visits every part of the tree early."""
    stride = len(items) // _STRIDES + 1
    for start in range(stride):
        yield from items[start::stride]


def _open_parent(root: int, path: str) -> tuple[int, str]:
    """Open the parent directory of *path* without following symlinks.

    Returns its descriptor, which the caller closes, and the last component of *path*.
    """
    *names, base = path.split("/")
    fd = os.dup(root)
    for name in names:
        try:
            child = os.open(name, _OPEN_DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = child
    return fd, base


def _make_directory(parent: int, name: str) -> int:
    """Open the directory *name*; make it first if it is missing. Raises OSError if *name* is a symlink."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
