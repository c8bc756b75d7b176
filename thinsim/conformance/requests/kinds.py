"""`KINDS` has every request that a program can send to a block device, by name.

The kernel's block/ioctl.c, block/fops.c and block/blk-lib.c translate each one into requests of the block
layer. An errno is 0 for success; a text is a hash of the data that was read.
"""

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuse_backing.system_calls import fallocate
from thinsim.block.linux import BLKDISCARD, BLKSECDISCARD, BLKZEROOUT
from thinsim.conformance.requests.node_io import hash_of, pattern

_KEEP_SIZE, _PUNCH_HOLE, _NO_HIDE_STALE = 0x01, 0x02, 0x04  # linux/falloc.h
_COLLAPSE, _ZERO, _INSERT, _UNSHARE, _WRITE_ZEROES = 0x08, 0x10, 0x20, 0x40, 0x80

RequestSender = Callable[[int, int, int, int], str]
"""Takes descriptor, offset, length and tag; returns a text. Raises ``OSError``."""


@dataclass(frozen=True, slots=True)
class RequestKind:
    """A `RequestKind` sends a request; *becomes* is the resulting request if the block layer accepts it."""

    becomes: str
    act: RequestSender
    flags: int = os.O_RDWR
    zeroes: bool = False
    """After a success the range reads as zeros."""


def send(node: Path, kind: str, offset: int, length: int, tag: int) -> tuple[int, str]:
    """Send a request of *kind* to the device at *node*; return its errno and text."""
    found = KINDS[kind]
    try:
        fd = os.open(node, found.flags | os.O_CLOEXEC)
        try:
            text = found.act(fd, offset, length, tag)
        finally:
            os.close(fd)
    except OSError as error:
        return error.errno or errno.EIO, ""
    return 0, text


def _ioctl(number: int) -> RequestSender:
    def act(fd: int, offset: int, length: int, tag: int) -> str:
        fcntl.ioctl(fd, number, struct.pack("QQ", offset, length))
        return ""

    return act


def _fallocate(mode: int) -> RequestSender:
    def act(fd: int, offset: int, length: int, tag: int) -> str:
        fallocate(fd, mode, offset, length)
        return ""

    return act


def _write(fd: int, offset: int, length: int, tag: int) -> str:
    """Write from page-aligned memory, as O_DIRECT requires, then flush."""
    with mmap.mmap(-1, length) as buffer:
        buffer[:] = pattern(offset, length, tag)
        with memoryview(buffer) as data:
            done = os.pwrite(fd, data, offset)
    if done != length:
        raise OSError(errno.EIO, f"{done} of {length} bytes were written")
    os.fsync(fd)
    return ""


def _read(fd: int, offset: int, length: int, tag: int) -> str:
    with mmap.mmap(-1, length) as buffer, memoryview(buffer) as data:
        done = os.preadv(fd, [data], offset)
        return hash_of(bytes(data[:done]))


def _mapped(fd: int, offset: int, length: int) -> mmap.mmap:
    """Map the range from the page where it begins. Raises EFAULT where an access would raise SIGBUS."""
    if offset + length > os.lseek(fd, 0, os.SEEK_END):
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
    start = offset // mmap.PAGESIZE * mmap.PAGESIZE
    return mmap.mmap(fd, offset + length - start, offset=start)


def _mmap_write(fd: int, offset: int, length: int, tag: int) -> str:
    with _mapped(fd, offset, length) as memory:
        within = offset % mmap.PAGESIZE
        memory[within : within + length] = pattern(offset, length, tag)
        memory.flush()
    os.fsync(fd)
    return ""


def _mmap_read(fd: int, offset: int, length: int, tag: int) -> str:
    with _mapped(fd, offset, length) as memory:
        within = offset % mmap.PAGESIZE
        return hash_of(memory[within : within + length])


def _flush(fd: int, offset: int, length: int, tag: int) -> str:
    os.fsync(fd)
    return ""


_DIRECT = os.O_RDWR | os.O_DIRECT

KINDS: dict[str, RequestKind] = {
    "direct read": RequestKind("READ", _read, _DIRECT),
    "buffered read": RequestKind("READ", _read),
    "mmap read": RequestKind("READ", _mmap_read),
    "direct write": RequestKind("WRITE", _write, _DIRECT),
    "buffered write": RequestKind("WRITE", _write),
    "mmap write": RequestKind("WRITE", _mmap_write),
    "direct write, O_DSYNC": RequestKind("WRITE with FUA, or WRITE and FLUSH", _write, _DIRECT | os.O_DSYNC),
    "buffered write, O_SYNC": RequestKind("WRITE, FLUSH", _write, os.O_RDWR | os.O_SYNC),
    "fsync": RequestKind("FLUSH (a write with PREFLUSH)", _flush),
    "BLKDISCARD": RequestKind("DISCARD", _ioctl(BLKDISCARD)),
    "BLKSECDISCARD": RequestKind("SECURE_ERASE", _ioctl(BLKSECDISCARD)),
    "BLKZEROOUT": RequestKind(
        "WRITE_ZEROES with NOUNMAP, or WRITE of zeros", _ioctl(BLKZEROOUT), zeroes=True
    ),
    "fallocate PUNCH_HOLE|KEEP_SIZE": RequestKind(
        "WRITE_ZEROES that may unmap", _fallocate(_PUNCH_HOLE | _KEEP_SIZE), zeroes=True
    ),
    "fallocate ZERO_RANGE": RequestKind(
        "WRITE_ZEROES with NOUNMAP, or WRITE of zeros", _fallocate(_ZERO), zeroes=True
    ),
    "fallocate ZERO_RANGE|KEEP_SIZE": RequestKind(
        "WRITE_ZEROES with NOUNMAP, or WRITE of zeros", _fallocate(_ZERO | _KEEP_SIZE), zeroes=True
    ),
    "fallocate WRITE_ZEROES": RequestKind(
        "WRITE_ZEROES (Linux 6.17)", _fallocate(_WRITE_ZEROES), zeroes=True
    ),
    "fallocate WRITE_ZEROES|KEEP_SIZE": RequestKind(
        "WRITE_ZEROES (Linux 6.17)", _fallocate(_WRITE_ZEROES | _KEEP_SIZE), zeroes=True
    ),
    "fallocate PUNCH_HOLE|KEEP_SIZE|NO_HIDE_STALE": RequestKind(
        "none", _fallocate(_PUNCH_HOLE | _KEEP_SIZE | _NO_HIDE_STALE)
    ),
    "fallocate PUNCH_HOLE": RequestKind("none", _fallocate(_PUNCH_HOLE)),
    "fallocate 0": RequestKind("none", _fallocate(0)),
    "fallocate KEEP_SIZE": RequestKind("none", _fallocate(_KEEP_SIZE)),
    "fallocate COLLAPSE_RANGE": RequestKind("none", _fallocate(_COLLAPSE)),
    "fallocate INSERT_RANGE": RequestKind("none", _fallocate(_INSERT)),
    "fallocate UNSHARE_RANGE": RequestKind("none", _fallocate(_UNSHARE)),
}
"""The kinds by name, in the order of the fidelity table."""

_LIMITS = ("logical_block_size", "discard_granularity", "discard_max_bytes", "write_zeroes_max_bytes", "fua")
_MAXIMA = frozenset({"discard_max_bytes", "write_zeroes_max_bytes"})


def limits(node: Path) -> str:
    """Return the limits of a device's queue; a maximum is only ``0`` or ``not 0``."""
    try:
        number = node.stat().st_rdev
    except OSError as error:
        return f"errno {error.errno}"
    queue = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/queue")
    found = []
    for name in _LIMITS:
        value = (queue / name).read_text().strip()
        found.append(f"{name} {'0' if value == '0' else 'not 0' if name in _MAXIMA else value}")
    return ", ".join(found)
