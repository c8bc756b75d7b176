"""Makes one entry of a layer in an open directory: its content, then its owner, xattrs, mode and time.

In the order of ``createTarFile`` in containerd's ``archive/tar.go``, which matters: chown clears setuid
bits and file capabilities, so it comes first, and setting anything else changes the times, so they come
last. Names are single components; symlinks are never followed.
"""

import contextlib
import os
import posixpath
import stat
from collections.abc import Callable
from errno import E2BIG, EINVAL, ENOTSUP, EPERM, ERANGE
from pathlib import Path

from thinsim.scenario.image.tarstream import Kind, TarEntry, TarReader
from thinsim.scenario.image.tree import Tree

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DEVICES = {
    Kind.CHARACTER_DEVICE: stat.S_IFCHR,
    Kind.BLOCK_DEVICE: stat.S_IFBLK,
    Kind.FIFO: stat.S_IFIFO,
}
_LATEST = (1 << 63) - 1
_LARGEST_ID = (1 << 32) - 2


class UnmakeableEntryError(Exception):
    """An entry whose header asks for what can't be; the text goes on after the entry's name."""


def make_file(fd: int, name: str, entry: TarEntry, data: TarReader, wrote: Callable[[int], None]) -> int:
    """Write a regular file; *wrote* gets each piece's bytes. Return the xattrs passed over."""
    with os.fdopen(os.open(name, _CREATE, 0o600, dir_fd=fd), "wb") as file:
        while piece := data.read():
            file.write(piece)
            wrote(len(piece))
        file.flush()
        return _set_attributes(file.fileno(), entry)


def make_directory(fd: int, name: str) -> None:
    """Make a directory unless it is there; `finish_directory` gives it its attributes."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=fd)


def finish_directory(fd: int, entry: TarEntry) -> int:
    """Set the attributes of the open directory *fd*, after all that the layer puts in it."""
    return _set_attributes(fd, entry)


def make_symlink(fd: int, name: str, entry: TarEntry) -> int:
    """Make a symlink; its target is text and may lead anywhere."""
    os.symlink(entry.link_target, name, dir_fd=fd)
    return _set_named_attributes(fd, name, entry)


def make_hard_link(fd: int, name: str, entry: TarEntry, tree: Tree) -> int:
    """Link to a file of this tree; the directories of the target are resolved within it."""
    parent, base = posixpath.split(posixpath.normpath(entry.link_target))
    with tree.directory(parent) as target:
        if base in ("", ".", "..") or stat.S_ISDIR(os.lstat(base, dir_fd=target.fd).st_mode):
            raise UnmakeableEntryError(f"is a hard link to a directory, {entry.link_target!r}")
        os.link(base, name, src_dir_fd=target.fd, dst_dir_fd=fd, follow_symlinks=False)
    return _set_named_attributes(fd, name, entry)


def make_device(fd: int, name: str, entry: TarEntry) -> int | None:
    """Make a device or a fifo; None if this process may not (without privilege, in a user namespace)."""
    try:
        os.mknod(name, _DEVICES[entry.kind] | 0o600, os.makedev(*entry.device), dir_fd=fd)
    except PermissionError as error:
        if error.errno != EPERM:
            raise
        return None
    except (OverflowError, ValueError):
        raise UnmakeableEntryError(f"has device numbers out of range: {entry.device}") from None
    return _set_named_attributes(fd, name, entry)


def _set_named_attributes(fd: int, name: str, entry: TarEntry) -> int:
    """Set attributes of what can't be opened; the process's own directory leads there without other links."""
    path = f"/proc/self/fd/{fd}/{name}"
    return _set_attributes(path, entry)


def _set_attributes(target: int | str, entry: TarEntry) -> int:
    """Set owner, xattrs, mode (symlinks have none) and times; return how many xattrs were passed over."""
    follow = isinstance(target, int)
    if os.geteuid() == 0:
        if max(entry.uid, entry.gid) > _LARGEST_ID:
            raise UnmakeableEntryError(f"has an owner out of range: {entry.uid}:{entry.gid}")
        os.chown(target, entry.uid, entry.gid, follow_symlinks=follow)
    passed_over = 0
    for key, value in entry.xattrs.items():
        passed_over += not _set_xattr(target, key, value, follow=follow)
    if isinstance(target, int):
        os.fchmod(target, entry.mode)
    elif not stat.S_ISLNK(os.lstat(target).st_mode):
        Path(target).chmod(entry.mode)
    # before 1970, and after what 63 bits of nanoseconds hold, containerd sets 1970
    modified = entry.modified if 0 <= entry.modified <= _LATEST else 0
    os.utime(target, ns=(modified, modified), follow_symlinks=follow)
    return passed_over


def _set_xattr(target: int | str, key: str, value: bytes, *, follow: bool) -> bool:
    """Say if the xattr was set: containerd passes over ``trusted.`` and what can't be stored."""
    if key.startswith("trusted."):
        return False
    try:
        os.setxattr(target, key, value, follow_symlinks=follow)
    except OSError as error:
        if error.errno == ENOTSUP:
            return False
        if error.errno == EPERM and (not follow or os.geteuid() != 0):
            return False  # user.* on a symlink or a device, security.* without privilege
        if error.errno in (EINVAL, ERANGE, E2BIG):
            raise UnmakeableEntryError(f"has an xattr {key!r} that can't be: {error.strerror}") from None
        raise
    return True
