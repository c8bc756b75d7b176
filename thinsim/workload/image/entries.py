"""Each function makes one entry of a layer in an open directory: content, owner, xattrs, mode, times.

The order is that of ``createTarFile`` in containerd's ``archive/tar.go``, and it matters. chown clears setuid
bits and file capabilities, so it comes first. Every other change updates the times, so they come last. Names
are single components, and symlinks are never followed.
"""

import contextlib
import os
import posixpath
import stat
from collections.abc import Callable
from errno import E2BIG, EACCES, EINVAL, ENOSPC, ENOTSUP, EPERM, ERANGE
from pathlib import Path

from thinsim.workload.image.errors import shown
from thinsim.workload.image.tarstream import EntryKind, TarEntry, TarReader
from thinsim.workload.image.tree import Tree
from thinsim.workload.image.walk import DIRECTORY_FLAGS

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEVICES = {
    EntryKind.CHARACTER_DEVICE: stat.S_IFCHR,
    EntryKind.BLOCK_DEVICE: stat.S_IFBLK,
    EntryKind.FIFO: stat.S_IFIFO,
}
_LATEST = (1 << 63) - 1
_UNCHANGED = (1 << 32) - 1
_LARGEST_DEVICE = (1 << 32) - 1
_YEAR_1 = -62135596800


class UnmakeableEntryError(Exception):
    """An entry can't be made as its header demands; the message is a phrase to follow the entry's name."""


def make_file(fd: int, name: str, entry: TarEntry, data: TarReader, wrote: Callable[[int], None]) -> int:
    """Write a regular file; return the number of skipped xattrs. *wrote* is called with each piece's size."""
    with os.fdopen(os.open(name, _CREATE, 0o600, dir_fd=fd), "wb") as file:
        while piece := data.read():
            file.write(piece)
            wrote(len(piece))
        file.flush()
        return _set_attributes(file.fileno(), entry)


def make_directory(fd: int, name: str, entry: TarEntry) -> int:
    """Make a directory unless it exists; `finish_directory` sets its times after the entries in it are made.

    Returns the number of skipped xattrs.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=fd)
    below = os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
    try:
        # only root can fill a directory whose owner has no access
        return _set_attributes(below, entry, entry.mode if os.geteuid() == 0 else entry.mode | 0o700)
    finally:
        os.close(below)


def finish_directory(fd: int, entry: TarEntry) -> None:
    """Set the times of the open directory *fd* (and its mode without root) after the layer has filled it."""
    if os.geteuid() != 0:
        os.fchmod(fd, entry.mode)
    _set_times(fd, entry)


def make_symlink(fd: int, name: str, entry: TarEntry) -> int:
    """Make a symlink. Its target is only text and may be any path."""
    if not entry.link_target:
        raise UnmakeableEntryError("is a symlink with an empty target")
    os.symlink(entry.link_target, name, dir_fd=fd)
    return _set_named_attributes(fd, name, entry)


def make_hard_link(fd: int, name: str, entry: TarEntry, tree: Tree) -> int:
    """Link to a file of this tree. The target's directories are resolved within the tree."""
    # like containerd, split the target without cleaning it, then cut trailing slashes and dots
    parent, base = posixpath.split(entry.link_target)
    while parent.strip("/") and base in ("", "."):
        parent, base = posixpath.split(parent.rstrip("/"))
    here = os.dup(fd)
    try:
        tree.go_to(parent, room=len(os.fsencode(base)))
        if base in ("", ".", "..") or stat.S_ISDIR(os.lstat(base, dir_fd=tree.fd).st_mode):
            raise UnmakeableEntryError(f"is a hard link to a directory, {shown(entry.link_target)}")
        os.link(base, name, src_dir_fd=tree.fd, dst_dir_fd=here, follow_symlinks=False)
        return _set_named_attributes(here, name, entry)
    except FileNotFoundError:
        raise UnmakeableEntryError(
            f"is a hard link to {shown(entry.link_target)}, which neither an earlier entry of this layer "
            "nor a lower layer provides"
        ) from None
    finally:
        os.close(here)


def make_device(fd: int, name: str, entry: TarEntry) -> int | None:
    """Make a device or a fifo; return None if this process may not (not root, or in a user namespace)."""
    if entry.kind is not EntryKind.FIFO and not all(
        0 <= number <= _LARGEST_DEVICE for number in entry.device
    ):
        raise UnmakeableEntryError(f"has device numbers out of range: {entry.device}")
    number = 0 if entry.kind is EntryKind.FIFO else _device(*entry.device)
    try:
        os.mknod(name, _DEVICES[entry.kind] | 0o600, number, dir_fd=fd)
    except PermissionError as error:
        if error.errno != EPERM:
            raise
        return None
    except (OverflowError, ValueError):
        raise UnmakeableEntryError(f"has device numbers out of range: {entry.device}") from None
    return _set_named_attributes(fd, name, entry)


def _set_named_attributes(fd: int, name: str, entry: TarEntry) -> int:
    """Set attributes of an entry that can't be opened; /proc/self/fd gives a path free of other symlinks."""
    path = f"/proc/self/fd/{fd}/{name}"
    return _set_attributes(path, entry)


def _set_attributes(target: int | str, entry: TarEntry, mode: int | None = None) -> int:
    """Set owner, xattrs, mode (symlinks have none) and times; return the number of skipped xattrs."""
    follow = isinstance(target, int)
    if os.geteuid() == 0:
        os.chown(target, _owner(entry.uid), _owner(entry.gid), follow_symlinks=follow)
    passed_over = 0
    for key, value in entry.xattrs.items():
        passed_over += not _set_xattr(target, key, value, follow=follow)
    mode = entry.mode if mode is None else mode
    if isinstance(target, int):
        os.fchmod(target, mode)
    elif not stat.S_ISLNK(os.lstat(target).st_mode):
        Path(target).chmod(mode)
    _set_times(target, entry)
    return passed_over


def _owner(number: int) -> int:
    """Return the low 32 bits of *number*, as containerd's chown uses them; -1 (unchanged) if all are set."""
    number &= _UNCHANGED
    return -1 if number == _UNCHANGED else number


def _device(major: int, minor: int) -> int:
    """Return the device number as ``unix.Mkdev`` packs it; mknod uses 32 bits of that."""
    packed = (major & 0xFFF) << 8 | (major & 0xFFFFF000) << 32 | (minor & 0xFF) | (minor & 0xFFFFFF00) << 12
    return packed & 0xFFFFFFFF


def _set_times(target: int | str, entry: TarEntry) -> None:
    """Set the times of modification and access; the access time is never before the modification time."""
    modified = _wrapped(entry.modified)
    accessed = modified if entry.accessed is None else max(_wrapped(entry.accessed), modified)
    os.utime(target, ns=(_bound(accessed), _bound(modified)), follow_symlinks=isinstance(target, int))


def _wrapped(time: int) -> int:
    """Return *time* (ns) as Go stores it: seconds since the year 1 in 64 bits, which wrap around."""
    seconds, nanoseconds = divmod(time, 10**9)
    seconds = (seconds - _YEAR_1 + (1 << 63)) % (1 << 64) - (1 << 63) + _YEAR_1
    return seconds * 10**9 + nanoseconds


def _bound(time: int) -> int:
    """Return *time* (ns), or 0 if it is before 1970 or exceeds 63 bits, as in containerd."""
    return time if 0 <= time <= _LATEST else 0


def _set_xattr(target: int | str, key: str, value: bytes, *, follow: bool) -> bool:
    """Set an xattr; return False if it is skipped. containerd skips ``trusted.`` and unsupported xattrs."""
    if key.startswith("trusted."):
        return False
    try:
        os.setxattr(target, key, value, follow_symlinks=follow)
    except OSError as error:
        if error.errno == ENOTSUP:
            return False
        if error.errno == EPERM and (not follow or os.geteuid() != 0):
            return False  # user.* on a symlink or a device, security.* without root
        if error.errno in (EACCES, EINVAL, ERANGE, E2BIG):
            raise UnmakeableEntryError(
                f"has an xattr {shown(key)} that can't be set: {error.strerror}"
            ) from None
        if error.errno == ENOSPC and (block := _block_size_unless_full(target)):
            raise UnmakeableEntryError(
                f"has an xattr {shown(key)} of {len(value)} bytes, for which the file system has no room: "
                f"ext4 keeps all xattrs of a file in its inode and one block ({block} bytes), "
                "so containerd can't unpack the layer either"
            ) from None
        raise
    return True


def _block_size_unless_full(target: int | str) -> int:
    """Return the file system's block size, 0 if it is full: ENOSPC can also mean an xattr is too large."""
    about = os.statvfs(target if isinstance(target, int) else Path(target).parent)
    return about.f_bsize if about.f_bfree > 1 else 0
