"""`served_directory` opens a directory that can be served, and locks it against a second server."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fuse_backing.accounting.interface import HostAccounting
from fuse_backing.accounting.kinds import UnmeasuredHostError, accounting_of, estimate_of
from fuse_backing.errors import MountpointError, UnfitDirectoryError
from fuse_backing.sparsefile import SparseFile

_PROBE_SIZE = 1 << 20


@contextmanager
def served_directory(path: Path) -> Iterator[int]:
    """Open *path* for one server and yield its file descriptor.

    The lock is on the directory itself, so it leaves no file behind. Raises UnfitDirectoryError if *path* is
    not a directory, if another process serves it, or if its host file system cannot punch holes.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UnfitDirectoryError(f"{path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnfitDirectoryError(
                f"{path}: another server already serves this directory; to end it, run: "
                "fuse-backing unmount MOUNTPOINT"
            ) from None
        probe_punch(fd, path)
        yield fd
    finally:
        os.close(fd)


def check_apart(directory: Path, mountpoint: Path) -> None:
    """Raise MountpointError if one path is inside the other: the mount would hide or contain itself."""
    real_directory, real_mountpoint = Path(os.path.realpath(directory)), Path(os.path.realpath(mountpoint))
    if real_mountpoint == real_directory or (
        real_mountpoint.exists() and real_directory.exists() and real_mountpoint.samefile(real_directory)
    ):
        raise MountpointError(f"{mountpoint}: is the directory to serve itself; mount it somewhere else")
    if real_mountpoint.is_relative_to(real_directory):
        raise MountpointError(f"{mountpoint}: lies in the directory to serve; mount it somewhere else")
    if real_directory.is_relative_to(real_mountpoint):
        raise MountpointError(f"{mountpoint}: the mount would hide {directory}; mount it somewhere else")


def probe_punch(directory_fd: int, path: Path) -> None:
    """Write and punch a file without a name, and check that the host frees its blocks.

    ext4, xfs, btrfs and tmpfs can punch, overlayfs passes a punch to its upper layer, 9p cannot punch. Raises
    UnfitDirectoryError.
    """
    try:
        fd = unnamed_file(directory_fd)
    except OSError as error:
        raise UnfitDirectoryError(f"{path}: cannot create a file there: {_why(error)}") from error
    try:
        os.pwrite(fd, b"\xff" * _PROBE_SIZE, 0)
        change = SparseFile(fd).punch(0, _PROBE_SIZE)
        data = os.pread(fd, _PROBE_SIZE, 0)
    except OSError as error:
        raise UnfitDirectoryError(f"{path}: a trial of hole punching failed: {_why(error)}") from error
    finally:
        os.close(fd)
    if change.errno == errno.EOPNOTSUPP:
        raise UnfitDirectoryError(
            f"{path}: the host file system cannot punch holes; use a directory on ext4, xfs, btrfs or tmpfs"
        )
    if change.errno:
        raise UnfitDirectoryError(f"{path}: the host refuses to punch holes: {os.strerror(change.errno)}")
    if change.freed == 0 or any(data):
        raise UnfitDirectoryError(f"{path}: the host accepts a hole punch but frees nothing")


def host_accounting(directory_fd: int, path: Path, *, allow_estimate: bool = False) -> HostAccounting:
    """Return the accounting of the directory's host, by a trial in a file without a name.

    Raises UnfitDirectoryError if the freed bytes can't be measured there. With *allow_estimate* the answer is
    then an estimate from the files' map, and ``HostAccounting.exact`` is False.
    """
    try:
        fd = unnamed_file(directory_fd)
    except OSError as error:
        raise UnfitDirectoryError(f"{path}: cannot create a file there: {_why(error)}") from error
    try:
        return accounting_of(fd)
    except UnmeasuredHostError as error:
        if allow_estimate:
            return estimate_of(fd)
        raise UnfitDirectoryError(f"{path}: {error}, or --allow-estimate") from error
    except OSError as error:
        raise UnfitDirectoryError(
            f"{path}: a trial of the host's accounting failed: {_why(error)}"
        ) from error
    finally:
        os.close(fd)


def _why(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}; it needs room for a file of {_PROBE_SIZE >> 20} MiB: free some"
    if error.errno == errno.EROFS:
        return (
            f"{error.strerror}; if it has made itself read-only after an error, dmesg has the reason; "
            "else: mount -o remount,rw"
        )
    if error.errno == errno.EPERM and os.geteuid() == 0:
        return f"{error.strerror}; the attribute i refuses even root (see it with lsattr -d): chattr -i"
    return error.strerror or str(error)


def unnamed_file(directory_fd: int) -> int:
    """Open a new file that has no name in the directory. Raises OSError."""
    try:
        return os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=directory_fd)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):  # no O_TMPFILE: open(2)
            raise
    name = f".fuse-backing-{os.getpid()}"
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600, dir_fd=directory_fd)
    os.unlink(name, dir_fd=directory_fd)
    return fd
