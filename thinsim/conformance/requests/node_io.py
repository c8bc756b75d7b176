"""These functions send requests to a block device's node, past the page cache; they return an errno or 0."""

import errno
import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path

from thinsim.block.linux import BLKDISCARD

_BUFFER = 1 << 20
HASH_BYTES = 8
CONTENT_BYTES = 64 << 20


def pattern(offset: int, length: int, tag: int) -> bytes:
    """Return *length* bytes to write: *tag* and *offset*, repeated."""
    return (struct.pack("<QQ", tag, offset) * (length // 16 + 1))[:length]


def hash_of(data: bytes) -> str:
    """Return the hash of *data* for an answer."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES).hexdigest()


def write(node: Path, offset: int, length: int, tag: int) -> int:
    """Write the pattern of *tag* and *offset*; return EIO if the device ends before the range does."""
    with mmap.mmap(-1, length) as buffer:
        buffer[:] = pattern(offset, length, tag)

        def act(fd: int) -> None:
            done = os.pwrite(fd, buffer, offset)
            if done != length:
                raise OSError(errno.EIO, f"{done} of {length} bytes were written")

        return _errno_of(node, os.O_WRONLY, act)


def read(node: Path, offset: int, length: int) -> tuple[int, str]:
    """Return an errno and a hash of the data; the read stops at the end of the device."""
    digest = hashlib.blake2b(digest_size=HASH_BYTES)

    def act(fd: int) -> None:
        with mmap.mmap(-1, min(length, _BUFFER)) as buffer:
            position = offset
            while position < offset + length:
                wanted = min(len(buffer), offset + length - position)
                with memoryview(buffer)[:wanted] as piece:
                    done = os.preadv(fd, [piece], position)
                    digest.update(piece[:done])
                if not done:
                    return
                position += done

    status = _errno_of(node, os.O_RDONLY, act)
    return status, "" if status else digest.hexdigest()


def contents(node: Path) -> str:
    """Return a hash of the whole device, or of its first ``CONTENT_BYTES``; or ``errno N``."""
    try:
        fd = os.open(node, os.O_RDONLY)
    except OSError as error:
        return f"errno {error.errno}"
    try:
        size = os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)
    status, digest = read(node, 0, min(size, CONTENT_BYTES))
    return f"errno {status}" if status else digest


def discard(node: Path, offset: int, length: int) -> int:
    """Discard a range."""
    return _errno_of(
        node, os.O_WRONLY, lambda fd: fcntl.ioctl(fd, BLKDISCARD, struct.pack("QQ", offset, length))
    )


def flush(node: Path) -> int:
    """Flush the device."""
    return _errno_of(node, os.O_WRONLY, os.fsync)


def allocated_pages(file: Path) -> str:
    """Return the allocated pages of a sparse file, 4 KiB each, as runs ``first-last``."""
    runs: list[str] = []
    fd = os.open(file, os.O_RDONLY)
    try:
        end = 0
        while True:
            try:
                begin = os.lseek(fd, end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return " ".join(runs)
                raise
            end = os.lseek(fd, begin, os.SEEK_HOLE)
            runs.append(f"{begin >> 12}-{(end - 1) >> 12}")
    finally:
        os.close(fd)


def _errno_of(node: Path, flags: int, act: Callable[[int], object]) -> int:
    try:
        fd = os.open(node, flags | (os.O_DIRECT if act is not os.fsync else 0) | os.O_CLOEXEC)
        try:
            act(fd)
        finally:
            os.close(fd)
    except OSError as error:
        return error.errno or errno.EIO
    return 0
