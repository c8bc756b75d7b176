"""Does what a container does to its root file system: makes, overwrites and deletes files.

Each breaks sharing in its own way. A new file takes blocks of its own; a file overwritten in place makes
the pool copy blocks shared with the image; a deleted file gives blocks back to the file system, and with
a discard to those below it. The same tree, size and seed give the same operations and the same content.
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
"""Where below the root the created files are."""

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
    """How many files were *created*, *overwritten* and *deleted* (of both kinds), and all *bytes_written*,
    those of files overwritten or deleted again included.
    """

    created: int
    overwritten: int
    deleted: int
    bytes_written: int


def write_container_files(
    root: Path, size: int, *, seed: int = 1, progress: Callable[[int], None] | None = None
) -> ContainerWrites:
    """Write as a container on the tree *root*; *size* bytes of new files remain of what it creates.

    Half of them in big files and half in small ones; an eighth of *size* more is created and deleted
    again, up to 4 MiB (and an eighth of *size*) of image files are overwritten and up to 16 image files
    deleted. With *size* 0 one empty file is made and nothing else. Content is random and does not
    compress. No symlink is followed. *progress* is called with the bytes written so far at every file and
    MiB; what it raises ends the writing. Raises OSError for what the file system refuses.
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


class _Writing:
    """A container at work."""

    def __init__(self, seed: int, progress: Callable[[int], None] | None) -> None:
        self.created = self.overwritten = self.deleted = self.bytes_written = 0
        self._random = random.Random(seed)
        self._progress = progress

    def create(self, root: int, size: int, seed: int) -> None:
        """Create the files, in a directory of their own for each seed."""
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
            return 0  # a read-only file, and no privilege to write it all the same
        finally:
            os.close(directory)
        with os.fdopen(fd, "wb") as file:  # from a descriptor: nothing is truncated
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
    """Yield the regular files with content below the directory *root*, sorted, without our own.

    Of each directory the files come first. What may not be read is passed over.
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
    """Return the files with content in the directory *fd*, and its directories, the last one first."""
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
    """Open the directory of *path* (the caller closes it), following no symlinks; return the name too."""
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
    """Make and open the directory *name*, or open it if it is there; a symlink there raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
