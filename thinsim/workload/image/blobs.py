"""Reads the files of an image archive by name: members of a tar, blobs of an unpacked layout.

A name taken from a manifest is only ever looked up here. In a tar it is a key among the members; in a
directory it must be one of the names the OCI image-layout spec gives (a digest in hexadecimal), so no
manifest can name another file of the host.
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
"""How names begin that a program on Windows has joined; containerd, which goes by content, does not mind."""
_MOST_LINKS = 16
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


class Blobs(Protocol):
    """Where an image's files are; *path* names it in errors."""

    path: Path

    def size(self, name: str) -> int | None:
        """Return the size of *name* in bytes, or None if there is no such file."""

    def absence(self, name: str) -> str:
        """Say why there is no file *name*, in words that follow it: ``is missing``, or what is there."""

    def names(self) -> Iterator[str]:
        """Yield the names of what is there, files or not, two levels deep in a directory."""

    def open(self, name: str) -> io.BufferedReader:
        """Open *name*; raises InvalidImageError if there is no such file. The caller closes it."""

    def close(self) -> None:
        """Let go of what is open; streams opened before stay usable until they are closed."""


class _Section(io.RawIOBase):
    """A file within the file *fd*, which it owns. Of *pieces*: offset in it, offset in *fd*, length."""

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
    """A file in a tar: its size in bytes, and its pieces (offset in it, offset in the tar, length)."""

    size: int
    pieces: tuple[tuple[int, int, int], ...]


class TarBlobs:
    """The members of the tar at *path*; links among them are followed, as old ``docker save`` has some."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._members: dict[str, _Member] = {}
        self._links: dict[str, str] = {}
        self._others: dict[str, TarEntry] = {}
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for a writer
        try:
            if not stat.S_ISREG(os.fstat(self._fd).st_mode) and not stat.S_ISBLK(os.fstat(self._fd).st_mode):
                raise InvalidImageError(
                    f"{path}: is no file; an image is read here and there, so a pipe or a terminal won't do: "
                    "write it to a file first"
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
                f"{self.path}: is compressed with {compression} as a whole, "
                "which containerd does not import either; "
                "decompress it first" + (f": {undo} {quote(str(self.path))} > image.tar" if undo else "")
            )
        if start.startswith(b"#!"):
            raise InvalidImageError(
                f"{self.path}: is a script, not an image; "
                f"if it writes one, as those of Nix do: {quote(str(self.path.absolute()))} > image.tar"
            )
        if len(start) < BLOCK_SIZE:
            raise InvalidImageError(f"{self.path}: is not a tar archive ({len(start)} bytes){self._meant()}")
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
            return f"; give the directory that it is in: {self.path.parent}"
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
        """Return the size of the member *name*, or None."""
        member = self._member(name)
        return member.size if member else None

    def absence(self, name: str) -> str:
        """Say why there is no file *name*."""
        other = self._others.get(_clean(name))
        if other is not None and other.flag == "S":
            return (
                "is there as a sparse file of GNU tar's own format, which containerd does not import either; "
                "write the archive without --sparse, or with --format=posix"
            )
        if _clean(name) in self._links:
            return f"is a link to {self._links[_clean(name)]}, which is not in the archive"
        return (
            "is missing" if other is None else f"is there as an entry of type {other.flag!r}, not as a file"
        )

    def names(self) -> Iterator[str]:
        """Yield the names of all members."""
        yield from (*self._members, *self._links, *self._others)

    def open(self, name: str) -> io.BufferedReader:
        """Open the member *name*."""
        member = self._member(name)
        if member is None:
            raise InvalidImageError(f"{self.path}: {name} {self.absence(name)}")
        section = _Section(os.dup(self._fd), member.pieces, member.size, f"{self.path}: {name}")
        return io.BufferedReader(section, 1 << 20)

    def close(self) -> None:
        """Close the archive."""
        os.close(self._fd)


def _clean(name: str) -> str:
    return posixpath.normpath(name).lstrip("/")


def _member(entry: TarEntry, start: int) -> _Member:
    """Return where the data of *entry* are, which begin at *start*."""
    if entry.pieces is None:
        return _Member(entry.size, ((0, start, entry.size),))
    pieces = []
    for offset, length in entry.pieces:
        pieces.append((offset, start, length))
        start += length
    return _Member(entry.size, tuple(pieces))


class DirectoryBlobs:
    """The files of the unpacked OCI image layout in the directory *path*."""

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
        """Return the size of the file *name*, or None; symlinks do not count."""
        fd = self._open(name)
        if fd is None:
            return None
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def is_file(self, name: str) -> bool:
        """Say whether *name* is a file here, whether it may be read or not."""
        return (self.path / name).is_file()

    def absence(self, name: str) -> str:
        """Say why there is no file *name*."""
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
            "is a symlink, which is not followed, for it could lead to any file of this machine; "
            f"copy the files themselves: cp -rL {directory} layout, or tar -chf image.tar -C {directory} ."
        )

    def names(self) -> Iterator[str]:
        """Yield the names of files and directories here and one level below."""
        for path in sorted(self.path.iterdir()):
            yield path.name
            if path.is_dir() and not path.is_symlink():
                yield from (f"{path.name}/{below.name}" for below in sorted(path.iterdir()))

    def open(self, name: str) -> io.BufferedReader:
        """Open the file *name*."""
        fd = self._open(name)
        if fd is None:
            raise InvalidImageError(f"{self.path}: {name} {self.absence(name)}")
        size = os.fstat(fd).st_size
        return io.BufferedReader(_Section(fd, ((0, 0, size),), size, f"{self.path}: {name}"), 1 << 20)

    def close(self) -> None:
        """Do nothing: no file is kept open."""


def opened_blobs(path: Path) -> Blobs:
    """Open the image at *path*, a tar or a directory; raises InvalidImageError if it is neither."""
    try:
        return DirectoryBlobs(path) if path.is_dir() else TarBlobs(path)
    except OSError as error:
        raise InvalidImageError(f"{path}: {error.strerror}") from None
