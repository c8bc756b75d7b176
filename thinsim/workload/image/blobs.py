"""`Blobs` reads the files of an image by name, from a tar or from an unpacked layout.

Names from a manifest are looked up only here. In a tar the name is a key among the members. In a directory it
must be one of the names of the OCI image-layout spec (with a digest in hexadecimal), so a manifest cannot
name another file of the host.
"""

import io
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path
from shlex import quote
from typing import BinaryIO, Protocol

from thinsim.workload.image.compression import compression_of, unread_compression_of
from thinsim.workload.image.errors import InvalidImageError
from thinsim.workload.image.tarstream import BLOCK_SIZE, EntryKind, TarEntry, TarReader

_LAYOUT_NAME = re.compile(r"oci-layout|index\.json|blobs/sha256/[0-9a-f]{64}")
_OF_WINDOWS = ("blobs\\", ".\\blobs\\")
"""Prefixes of names written on Windows; containerd accepts them, since it finds blobs by their content."""
_MOST_LINKS = 16
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


class Blobs(Protocol):
    """A `Blobs` contains the files of an image; errors name it by *path*."""

    path: Path

    def size(self, name: str) -> int | None:
        """Return the size of *name* in bytes, or None if there is no such file."""

    def absence(self, name: str) -> str:
        """Return why there is no file *name*: ``is missing`` or another phrase to follow the name."""

    def names(self) -> Iterator[str]:
        """Yield all names, of files and of other entries; in a directory down to the second level."""

    def open(self, name: str) -> io.BufferedReader:
        """Open *name*; the caller closes it. Raises InvalidImageError if there is no such file."""

    def close(self) -> None:
        """Close the archive or layout; streams that are open stay usable until they are closed."""


class _Section(io.RawIOBase):
    """A `_Section` is a stream of a file within the file *fd*, which it owns.

    Each of *pieces* is an offset in the stream, an offset in *fd* and a length, in bytes.
    """

    def __init__(self, fd: int, pieces: Sequence[tuple[int, int, int]], size: int, name: str) -> None:
        self.name = name
        self._fd = fd
        self._pieces = [piece for piece in reversed(pieces) if piece[2]]
        self._position = 0
        self._size = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._position)
        offset, there, length = self._pieces[-1] if self._pieces else (self._size, 0, 0)
        if self._position < offset:
            data = bytes(min(wanted, offset - self._position))
        else:
            done = self._position - offset
            data = os.pread(self._fd, min(wanted, length - done), there + done)
            if wanted and not data:
                raise InvalidImageError(f"{self.name}: is cut short")
            if done + len(data) == length and self._pieces:
                self._pieces.pop()
        self._position += len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


@dataclass(frozen=True, slots=True)
class _Member:
    """A `_Member` is a file in a tar.

    It has a size and pieces (offset in the file, offset in the tar, length), all in bytes.
    """

    size: int
    pieces: tuple[tuple[int, int, int], ...]


class TarBlobs:
    """A `TarBlobs` contains the members of the tar at *path*.

    It follows links among the members, which old versions of ``docker save`` wrote.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._members: dict[str, _Member] = {}
        self._links: dict[str, str] = {}
        self._others: dict[str, TarEntry] = {}
        # Without O_NONBLOCK, opening a pipe would wait for a writer.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(self._fd).st_mode) and not stat.S_ISBLK(os.fstat(self._fd).st_mode):
                raise InvalidImageError(
                    f"{path} is not a regular file, and thinsim has to seek in an image; "
                    "write the image to a file first"
                )
            with open(self._fd, "rb", closefd=False) as file:
                self._index(file)
        except BaseException:
            os.close(self._fd)
            raise

    def _index(self, file: BinaryIO) -> None:
        start = file.read(BLOCK_SIZE)
        if compression := compression_of(start[:10]) or unread_compression_of(start[:10]):
            undo = {"gzip": "gzip -dc", "zstd": "zstd -dc", "bzip2": "bzip2 -dc", "xz": "xz -dc"}.get(
                compression
            )
            raise InvalidImageError(
                f"{self.path} is compressed with {compression} as a whole, "
                "which containerd does not import either; "
                "decompress it first" + (f": {undo} {quote(str(self.path))} > image.tar" if undo else "")
            )
        if start.startswith(b"#!"):
            raise InvalidImageError(
                f"{self.path} is a script, not an image; "
                f"if it writes one, as Nix's scripts do, run: {quote(str(self.path.absolute()))} > image.tar"
            )
        if len(start) < BLOCK_SIZE:
            raise InvalidImageError(f"{self.path} is not a tar archive ({len(start)} bytes){self._meant()}")
        file.seek(0)
        for entry in TarReader(file, str(self.path)):
            name = entry.name
            if name.startswith(_OF_WINDOWS):
                name = name.replace("\\", "/")
            name = _clean(name)
            self._others.pop(name, None)
            if entry.kind is EntryKind.FILE:
                self._members[name] = _member(entry, file.tell())
            elif entry.kind is EntryKind.SYMLINK:
                self._links[name] = posixpath.join(posixpath.dirname(name), entry.link_target)
            elif entry.kind is EntryKind.HARD_LINK:
                self._links[name] = entry.link_target
            elif entry.kind is not EntryKind.GLOBAL_HEADER:
                self._others[name] = entry

    def _meant(self) -> str:
        if self.path.name in ("index.json", "oci-layout", "manifest.json"):
            return f"; give its directory instead: {self.path.parent}"
        return "; an image is an OCI archive, the directory of an OCI layout, or a docker-archive"

    def _member(self, name: str) -> _Member | None:
        name = _clean(name)
        for _ in range(_MOST_LINKS):
            if name in self._members:
                return self._members[name]
            if name not in self._links:
                return None
            name = _clean(self._links[name])
        return None

    def size(self, name: str) -> int | None:
        member = self._member(name)
        return member.size if member else None

    def absence(self, name: str) -> str:
        other = self._others.get(_clean(name))
        if other is not None and other.flag == "S":
            return (
                "is a sparse file in GNU tar's own format, which containerd does not import either; "
                "write the archive without --sparse, or with --format=posix"
            )
        if _clean(name) in self._links:
            return f"is a link to {self._links[_clean(name)]}, which is not in the archive"
        return "is missing" if other is None else f"is an entry of type {other.flag!r}, not a file"

    def names(self) -> Iterator[str]:
        yield from (*self._members, *self._links, *self._others)

    def open(self, name: str) -> io.BufferedReader:
        member = self._member(name)
        if member is None:
            raise InvalidImageError(f"{self.path}: {name} {self.absence(name)}")
        section = _Section(os.dup(self._fd), member.pieces, member.size, f"{self.path}: {name}")
        return io.BufferedReader(section, 1 << 20)

    def close(self) -> None:
        os.close(self._fd)


def _clean(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _member(entry: TarEntry, start: int) -> _Member:
    """Return the member of *entry*, whose data begin at offset *start* of the tar."""
    if entry.pieces is None:
        return _Member(entry.size, ((0, start, entry.size),))
    pieces = []
    for offset, length in entry.pieces:
        pieces.append((offset, start, length))
        start += length
    return _Member(entry.size, tuple(pieces))


class DirectoryBlobs:
    """A `DirectoryBlobs` contains the files of the unpacked OCI image layout in the directory *path*.

    It does not follow symlinks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def _open(self, name: str) -> int | None:
        if _LAYOUT_NAME.fullmatch(name) is None:
            return None
        try:
            fd = os.open(self.path / name, _OPEN)
        except OSError:
            return None
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        return None

    def size(self, name: str) -> int | None:
        fd = self._open(name)
        if fd is None:
            return None
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def is_file(self, name: str) -> bool:
        """Return whether *name* is a file in the directory, even one that is not readable."""
        return (self.path / name).is_file()

    def absence(self, name: str) -> str:
        try:
            mode = os.lstat(self.path / name).st_mode
            if not stat.S_ISLNK(mode):
                os.close(os.open(self.path / name, _OPEN))
        except OSError as error:
            return "is missing" if error.errno == ENOENT else f"can't be read: {error.strerror}"
        if not stat.S_ISLNK(mode):
            return "is not a regular file"
        directory = quote(str(self.path))
        return (
            "is a symlink, which thinsim does not follow, since it could lead to any file of this machine; "
            f"copy the files themselves: cp -rL {directory} layout, or tar -chf image.tar -C {directory} ."
        )

    def names(self) -> Iterator[str]:
        for path in sorted(self.path.iterdir()):
            yield path.name
            if path.is_dir() and not path.is_symlink():
                yield from (f"{path.name}/{below.name}" for below in sorted(path.iterdir()))

    def open(self, name: str) -> io.BufferedReader:
        fd = self._open(name)
        if fd is None:
            raise InvalidImageError(f"{self.path}: {name} {self.absence(name)}")
        size = os.fstat(fd).st_size
        return io.BufferedReader(_Section(fd, ((0, 0, size),), size, f"{self.path}: {name}"), 1 << 20)

    def close(self) -> None:
        """Do nothing: no file is kept open."""


def opened_blobs(path: Path) -> Blobs:
    """Open the image at *path*, a tar or a directory. Raises InvalidImageError if it is neither."""
    try:
        return DirectoryBlobs(path) if path.is_dir() else TarBlobs(path)
    except OSError as error:
        raise InvalidImageError(f"{path}: {error.strerror}") from None
