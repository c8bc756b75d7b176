"""`mount_fuse` mounts a FUSE file system whose requests the caller reads from ``/dev/fuse`` itself."""

import errno
import os
import socket
import stat
import subprocess
from pathlib import Path

from fuse_backing.errors import SessionError
from fuse_backing.system_calls import MS_NODEV, MS_NOSUID, mount

_DEVICE = Path("/dev/fuse")
_HELPER = "fusermount3"
_MTAB = Path("/etc/mtab")
_VARIABLE = "_FUSE_COMMFD"
"""The variable with the number of the socket to which the helper sends the descriptor (libfuse, mount.c)."""


def mount_fuse(mountpoint: Path, *, fsname: str, subtype: str, allow_other: bool = False) -> int:
    """Mount on *mountpoint*, a real path, and return a descriptor of ``/dev/fuse``, which the caller owns.

    /proc/mounts shows *fsname* as the source and ``fuse.subtype`` as the type. The kernel checks permissions
    (``default_permissions``). With *allow_other*, other users than the caller may use the mount as well. The
    kernel sends its first request, INIT, at once, and no other before that has its answer. Without the right
    to mount, ``fusermount3`` mounts, as it does for libfuse. Raises SessionError.
    """
    rights = "default_permissions,allow_other" if allow_other else "default_permissions"
    try:
        return _mounted_directly(mountpoint, fsname, subtype, rights)
    except OSError as error:
        if error.errno == errno.EPERM and os.geteuid() != 0:
            return _mounted_by_helper(mountpoint, fsname, subtype, rights)
        raise SessionError(_refused(mountpoint, error.strerror or str(error))) from error


def _mounted_directly(mountpoint: Path, fsname: str, subtype: str, rights: str) -> int:
    mode = stat.S_IFMT(mountpoint.stat().st_mode)
    device = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    owner = f"user_id={os.getuid()},group_id={os.getgid()}"
    options = f"fd={device},rootmode={mode:o},{owner},{rights}"
    try:
        mount(fsname, mountpoint, f"fuse.{subtype}", MS_NOSUID | MS_NODEV, options)
    except BaseException:
        os.close(device)
        raise
    return device


def _mounted_by_helper(mountpoint: Path, fsname: str, subtype: str, rights: str) -> int:
    if not _MTAB.exists():
        # The helper would mount all the same, and then refuse to unmount (util/fusermount.c, unmount_fuse).
        reason = f"{_HELPER} can't unmount without {_MTAB}; as root: ln -s ../proc/self/mounts {_MTAB}"
        raise SessionError(_refused(mountpoint, reason))
    options = f"fsname={_escaped(fsname)},subtype={_escaped(subtype)},{rights}"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            helper = subprocess.run(
                [_HELPER, "-o", options, "--", str(mountpoint)],
                env={**os.environ, _VARIABLE: str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            reason = f"only root may mount without {_HELPER} ({error.strerror}); install fuse3"
            raise SessionError(_refused(mountpoint, reason)) from error
        theirs.close()
        if helper.returncode != 0:
            raise SessionError(_refused(mountpoint, helper.stderr.strip() or f"{_HELPER} failed"))
        _, [device, *_], _, _ = socket.recv_fds(ours, 1, 1)
    os.set_inheritable(device, False)
    return device


def _refused(mountpoint: Path, reason: str) -> str:
    return f"FUSE refused to mount on {mountpoint}: {reason}"


def _escaped(value: str) -> str:
    # fusermount3 separates options by commas (util/fusermount.c, get_string_opt).
    return value.replace("\\", "\\\\").replace(",", "\\,")
