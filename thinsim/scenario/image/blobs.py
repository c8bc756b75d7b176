"""The files of an image archive, by name: members of a tar, or the blobs of an unpacked layout.

A name taken from a manifest is only ever looked up here. In a tar it is a key among the members; in a
directory it must be one of the names the OCI image-layout spec gives (a digest in hexadecimal), so no
manifest can name another file of the host.
"""

import io
import os
import posixpath
import re
import stat
from pathlib import Path
from typing import BinaryIO, Protocol

from thinsim.scenario.image.errors import InvalidImageError
from thinsim.scenario.image.tarstream import BLOCK_SIZE, Kind, TarReader

_LAYOUT_NAME = re.compile(r"oci-layout|index\.json|blobs/sha256/[0-9a-f]{64}")
_MOST_LINKS = 16
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


class Blobs(Protocol):
    """Where an image's files are; *path* names it in errors."""

    path: Path

    def size(self, name: str) -> int | None:
        """Return the size of *name* in bytes, or None if there is no such file."""

    def open(self, name: str) -> io.BufferedReader:
        """Open *name*; raises InvalidImageError if there is no such file. The caller closes it."""

    def close(self) -> None:
        """Let go of what is open; streams opened before stay usable until they are closed."""


class _Section(io.RawIOBase):
    """*size* bytes of the file *fd* (which it owns) from *offset*, with a position of its own."""

    def __init__(self, fd: int, offset: int, size: int, name: str) -> None:
        self.name = name
        self._fd = fd
        self._offset = offset
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = os.pread(self._fd, min(len(buffer), self._left), self._offset)
        if self._left and len(buffer) and not data:
            raise InvalidImageError(f"{self.name}: is cut short")
        self._offset += len(data)
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


class TarBlobs:
    """The members of the tar at *path*; links among them are followed, as old ``docker save`` has some."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._members: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with open(self._fd, "rb", closefd=False) as file:
                self._index(file)
        except BaseException:
            os.close(self._fd)
            raise

    def _index(self, file: BinaryIO) -> None:
        start = file.read(BLOCK_SIZE)
        if start.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")):
            raise InvalidImageError(f"{self.path}: is compressed as a whole; decompress it first")
        if len(start) < BLOCK_SIZE:
            raise InvalidImageError(f"{self.path}: is not a tar archive ({len(start)} bytes)")
        file.seek(0)
        for entry in TarReader(file, str(self.path)):
            name = posixpath.normpath(entry.name).lstrip("/")
            if entry.kind is Kind.FILE:
                self._members[name] = (file.tell(), entry.size)
            elif entry.kind is Kind.SYMLINK:
                self._links[name] = posixpath.join(posixpath.dirname(name), entry.link_target)
            elif entry.kind is Kind.HARD_LINK:
                self._links[name] = entry.link_target

    def _member(self, name: str) -> tuple[int, int] | None:
        name = posixpath.normpath(name).lstrip("/")
        for _ in range(_MOST_LINKS):
            if name in self._members:
                return self._members[name]
            if name not in self._links:
                return None
            name = posixpath.normpath(self._links[name]).lstrip("/")
        return None

    def size(self, name: str) -> int | None:
        """Return the size of the member *name*, or None."""
        member = self._member(name)
        return member[1] if member else None

    def open(self, name: str) -> io.BufferedReader:
        """Open the member *name*."""
        member = self._member(name)
        if member is None:
            raise InvalidImageError(f"{self.path}: {name} is missing")
        return io.BufferedReader(_Section(os.dup(self._fd), *member, f"{self.path}: {name}"), 1 << 20)

    def close(self) -> None:
        """Close the archive."""
        os.close(self._fd)


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

    def open(self, name: str) -> io.BufferedReader:
        """Open the file *name*."""
        fd = self._open(name)
        if fd is None:
            raise InvalidImageError(f"{self.path}: {name} is missing")
        size = os.fstat(fd).st_size
        return io.BufferedReader(_Section(fd, 0, size, f"{self.path}: {name}"), 1 << 20)

    def close(self) -> None:
        """Do nothing: no file is kept open."""


def opened_blobs(path: Path) -> Blobs:
    """Open the image at *path*, a tar or a directory; raises InvalidImageError if it is neither."""
    try:
        return DirectoryBlobs(path) if path.is_dir() else TarBlobs(path)
    except OSError as error:
        raise InvalidImageError(f"{path}: {error.strerror}") from None
