"""`accounting_of` finds the accounting of a host by its file system's type and a trial in the directory.

A kind of file system is one line of ``_KINDS``. Any other file system is accepted only if the trial confirms
its map.
"""

import errno
import fcntl
import os
import sys
from collections.abc import Callable

from fuse_backing.accounting.btrfs import BtrfsAccounting, items
from fuse_backing.accounting.interface import EVERYTHING, HostAccounting
from fuse_backing.accounting.mapped import MappedAccounting
from fuse_backing.accounting.shmem import ShmemAccounting
from fuse_backing.accounting.xfs import XfsAccounting
from fuse_backing.allocation import allocated_bytes, has_fiemap, mapped_extents
from fuse_backing.shmem_pages import has_cachestat
from fuse_backing.system_calls import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    TMPFS_MAGIC,
    fallocate,
    file_system_magic,
)

_TRIAL_SIZE = 4 << 20
"""Size of the file for the trial on tmpfs, in bytes: larger than a huge page."""

_FS_IOC_GETFLAGS = 0x80086601
_FS_EXTENT_FL = 0x00080000
_FS_NOCOW_FL = 0x00800000
_MOST_IN_INODE = 3
_LEAST_PER_MAP_BLOCK = 50
"""Smallest number of extents that fit into a block of a file's map: with blocks of 1 KiB on ext4 and xfs."""


class UnmeasuredHostError(Exception):
    """The bytes that a punch frees can't be measured on this host; the text gives the reason and the fix."""


def accounting_of(fd: int) -> HostAccounting:
    """Return the accounting of the host of *fd*, an empty file open for reading and writing, by trials in it.

    Raises UnmeasuredHostError, and OSError if the host refuses a write.
    """
    return _KINDS.get(file_system_magic(fd), _unknown)(fd)


def estimate_of(fd: int) -> HostAccounting:
    """Return an accounting that counts bytes as freed when the file no longer maps them, right or wrong."""
    name = _NAMES.get(file_system_magic(fd), "unknown file system")
    return MappedAccounting(
        name,
        os.fstatvfs(fd).f_frsize or 1,
        exact=False,
        native=has_fiemap(fd),
        remark=f"freed bytes are estimated from the maps of the files; {name} may still hold them",
    )


def _ext4(fd: int) -> HostAccounting:
    block = os.fstatvfs(fd).f_frsize
    held, mapped = _allocated_for_one(fd, block)
    if held <= mapped:
        # A file without extents (mkfs.ext3) has one block of map per block // 4 blocks of data.
        indirect = not _file_flags(fd) & _FS_EXTENT_FL
        return _checked(fd, MappedAccounting("ext4", block), per_map_block=block // 4 if indirect else 0)
    remark = (
        f"ext4 allocates and frees clusters of {held} bytes (bigalloc): freed bytes are the bytes of whole "
        "clusters"
    )
    return _checked(fd, MappedAccounting("ext4 with bigalloc", held, remark=remark, maps_what_it_holds=False))


def _xfs(fd: int) -> HostAccounting:
    block = os.fstatvfs(fd).f_bsize
    unit = _allocated_for_one(fd, block)[0]
    if unit == block:
        return _checked(fd, XfsAccounting("xfs", block))
    remark = (
        f"xfs allocates {unit} bytes at once for files here (an extent size hint, or a realtime device): a "
        "file holds more bytes than were written"
    )
    return _checked(fd, XfsAccounting("xfs", unit, remark=remark, maps_what_it_holds=False, block=block))


def _btrfs(fd: int) -> HostAccounting:
    try:
        list(items(fd, 0, 1))
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTTY):
            raise
        why = "needs CAP_SYS_ADMIN" if error.errno == errno.EPERM else "needs Linux 3.14 or later"
        raise UnmeasuredHostError(
            f"btrfs frees whole extents, and reading a file's extents {why}; run as root, or use a directory "
            "on ext4, xfs or tmpfs"
        ) from None
    in_place = bool(_file_flags(fd) & _FS_NOCOW_FL)
    return BtrfsAccounting("btrfs", os.fstatvfs(fd).f_frsize, overwrites_free=not in_place)


def _tmpfs(fd: int) -> HostAccounting:
    if not has_cachestat(fd):
        return _by_seek(fd, "tmpfs")
    os.ftruncate(fd, _TRIAL_SIZE)
    os.pwrite(fd, b"\xff", 0)
    unit = os.fstat(fd).st_blocks * 512
    os.ftruncate(fd, 0)
    if unit == os.fstatvfs(fd).f_frsize:
        return _checked(fd, ShmemAccounting("tmpfs", unit))
    remark = (
        f"tmpfs allocates huge pages of {unit} bytes and frees pages of 4096: a file holds more bytes than "
        "were written"
    )
    return _checked(fd, ShmemAccounting("tmpfs with huge pages", unit, remark))


def _overlay(fd: int) -> HostAccounting:
    name = "overlayfs"
    if not has_fiemap(fd):  # tmpfs, which may show no number of inodes either (nr_inodes=0)
        return _by_seek(fd, name)
    _refuse_hidden(fd, name)
    return _mapped(fd, name, f"the file system below {name}")


def _mapped(fd: int, name: str, who: str) -> HostAccounting:
    """Return the accounting that the map and st_blocks of *fd* show; remarks call the file system *who*."""
    block = os.fstatvfs(fd).f_frsize or 1
    held, mapped = _allocated_for_one(fd, block)
    if held > mapped:
        remark = f"{who} allocates and frees {held} bytes at once"
        found = MappedAccounting(f"{name} on clusters", held, remark=remark, maps_what_it_holds=False)
    elif mapped > block:
        remark = f"{who} allocates {held} bytes at once: a file holds more bytes than were written"
        found = MappedAccounting(name, held, remark=remark, maps_what_it_holds=False, block=block)
    else:
        found = MappedAccounting(name, block)
    return _checked(fd, found, write_back=True)


def _fuse(fd: int) -> HostAccounting:
    _refuse_hidden(fd, "fuse")
    return _by_seek(fd, "fuse")


def _unknown(fd: int) -> HostAccounting:
    """Return the accounting of a file system that is not in ``_KINDS``, by its map and st_blocks."""
    magic = file_system_magic(fd)
    name = _NAMES.get(magic, f"file system 0x{magic:x}")
    if magic in _HIDING:
        raise UnmeasuredHostError(
            f"{name} does not show the space that a hole punch frees; use a directory on ext4, xfs, btrfs or "
            "tmpfs"
        )
    _refuse_hidden(fd, name)
    if not has_fiemap(fd):
        return _by_seek(fd, name)
    return _mapped(fd, name, name)


def _refuse_hidden(fd: int, name: str) -> None:
    """Refuse a file system that passes on the statfs(2) of a btrfs below, which has no number of inodes.

    Its st_blocks count the bytes that a file maps, so a trial would not detect the btrfs.
    """
    if os.fstatvfs(fd).f_files == 0:
        raise UnmeasuredHostError(
            f"{name} hides how the file system below it (probably btrfs) frees extents; use a directory on "
            "that file system itself"
        )


def _by_seek(fd: int, name: str) -> HostAccounting:
    block = os.fstatvfs(fd).f_frsize or 1
    seeking = MappedAccounting(name, block, sees_preallocation=False, native=False)
    return _checked(fd, seeking, write_back=True)


_EXT4, _XFS, _BTRFS = 0xEF53, 0x58465342, 0x9123683E
_OVERLAYFS, _FUSE = 0x794C7630, 0x65735546

_KINDS: dict[int, Callable[[int], HostAccounting]] = {
    _EXT4: _ext4,
    _XFS: _xfs,
    _BTRFS: _btrfs,
    TMPFS_MAGIC: _tmpfs,
    _OVERLAYFS: _overlay,
    _FUSE: _fuse,
}
_NAMES = {
    _EXT4: "ext4",
    _XFS: "xfs",
    _BTRFS: "btrfs",
    TMPFS_MAGIC: "tmpfs",
    _OVERLAYFS: "overlayfs",
    _FUSE: "fuse",
    0xCA451A4E: "bcachefs",
    0x2FC12FC1: "zfs",
    0x6969: "nfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb",
    0xF2F52010: "f2fs",
    0x01021997: "9p",
}
_HIDING = frozenset({0xCA451A4E, 0x2FC12FC1, 0x6969, 0xFF534D42, 0xFE534D42})
"""File systems that free later, elsewhere, or in other units, and do not show it."""


def _allocated_for_one(fd: int, block: int) -> tuple[int, int]:
    """Return the bytes of a file with one allocated block, by st_blocks and by the map."""
    try:
        fallocate(fd, 0, 0, block)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        os.pwrite(fd, b"\xff" * block, 0)
        os.fsync(fd)
    try:
        return os.fstat(fd).st_blocks * 512, allocated_bytes(fd, 0, EVERYTHING)
    finally:
        os.ftruncate(fd, 0)


def _file_flags(fd: int) -> int:
    """Return the attributes that lsattr(1) shows: include/uapi/linux/fs.h, FS_IOC_GETFLAGS."""
    buffer = bytearray(8)
    fcntl.ioctl(fd, _FS_IOC_GETFLAGS, buffer, True)
    return int.from_bytes(buffer[:4], sys.byteorder)


def _checked(
    fd: int, accounting: HostAccounting, *, write_back: bool = False, per_map_block: int = 0
) -> HostAccounting:
    """Return *accounting* after trial punches of several sizes: st_blocks must confirm the freed bytes.

    With *write_back* the file is written back before st_blocks is read: some file systems do not count
    delayed allocation. *per_map_block*: see ``_room_for_map``. Raises UnmeasuredHostError.
    """
    size, block = 1 << 20, os.fstatvfs(fd).f_frsize or 1
    os.pwrite(fd, b"\xff" * size, 0)
    for offset, length in ((block, block), (size // 2, size // 4), (0, size)):
        before = _blocks_of(fd, write_back)
        measurement = accounting.measure(fd, offset, length)
        room = _room_for_map(fd, block, size, per_map_block)
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length)
        freed, by_count = measurement.freed(), before - _blocks_of(fd, write_back)
        if abs(freed - by_count) > max(room, _room_for_map(fd, block, size, per_map_block)):
            raise UnmeasuredHostError(
                f"{accounting.kind}: a trial hole punch of {length} bytes freed {freed} bytes by the file's "
                f"map and {by_count} by its count of blocks; use a directory on ext4, xfs, btrfs or tmpfs"
            )
    os.ftruncate(fd, 0)
    return accounting


def _room_for_map(fd: int, block: int, size: int, per_map_block: int) -> int:
    """Return the bytes that st_blocks may count for the blocks of the map itself, for a file of *size* bytes.

    An inode has room for the at most three extents that the trial makes. Fragmented free space makes more
    extents; then the map has blocks of its own, whose number changes. *per_map_block* is the number of blocks
    of a file without extents that one block of its map covers, and 0 for a file with extents.
    """
    if per_map_block:
        return (2 + size // block // per_map_block) * block
    pieces = len(mapped_extents(fd, 0, EVERYTHING))
    return 0 if pieces <= _MOST_IN_INODE else (2 + pieces // _LEAST_PER_MAP_BLOCK) * block


def _blocks_of(fd: int, write_back: bool) -> int:
    if write_back:
        os.fsync(fd)
    return os.fstat(fd).st_blocks * 512
