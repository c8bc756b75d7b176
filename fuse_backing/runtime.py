"""`control_socket` returns the control socket of a mountpoint's server; `dead_stores` finds dead servers.

They are in /run/fuse-backing for root, in $XDG_RUNTIME_DIR/fuse-backing for other users, mode 0700. The name
is made from the mountpoint's real path. It is short, since a unix socket's path has at most 107 bytes.
"""

import hashlib
import os
import socket
import stat
from pathlib import Path

from fuse_backing import mounts
from fuse_backing.errors import FuseBackingError

_SHOWN = 24


def runtime_directory() -> Path:
    """Return the directory of this user's sockets, which may not exist. Raises FuseBackingError."""
    if os.geteuid() == 0:
        return Path("/run/fuse-backing")
    base = os.environ.get("XDG_RUNTIME_DIR")
    if not base:
        raise FuseBackingError("XDG_RUNTIME_DIR is not set; set it, or name a socket with --control")
    return Path(base) / "fuse-backing"


def make_runtime_directory() -> Path:
    """Create the directory of this user's sockets if it is missing, and return it.

    Raises FuseBackingError if another user has access to it.
    """
    directory = runtime_directory()
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise FuseBackingError(f"cannot create {directory}: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise FuseBackingError(f"{directory} must be a directory that this user owns, with mode 0700")
    return directory


def control_socket(mountpoint: Path) -> Path:
    """Return the path of the control socket that a server of *mountpoint* has by default."""
    return control_socket_of_real(Path(os.path.realpath(mountpoint)))


def control_socket_of_real(real: Path) -> Path:
    """Return the default control socket of a mountpoint whose path is real already.

    This does not access the path, since its server may not answer.
    """
    readable = "".join(letter for letter in real.name if letter.isascii() and letter.isprintable())
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    return runtime_directory() / f"{readable[:_SHOWN]}-{digest}.sock"


def log_file(mountpoint: Path) -> Path:
    """Return the path of the log of a background server."""
    return control_socket(mountpoint).with_suffix(".log")


def sockets() -> list[Path]:
    """Return the control sockets of this user's servers, dead ones included."""
    directory = runtime_directory()
    return sorted(directory.glob("*.sock")) if directory.is_dir() else []


def dead_stores() -> list[Path]:
    """Return the mountpoints of this user's stores whose servers were killed; never wait for a running one.

    Only stores with the default control socket are found: the socket that a dead server left identifies it.
    """
    stores = [mount.mountpoint for mount in mounts.mounts() if mount.fstype == mounts.FSTYPE]
    return [mountpoint for mountpoint in stores if _is_dead(mountpoint)]


def _is_dead(mountpoint: Path) -> bool:
    try:
        path = control_socket_of_real(mountpoint)
    except FuseBackingError:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # a stopped server accepts no more connections than its backlog
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return mounts.health(mountpoint) is mounts.Health.STALE
        except OSError:
            return False
    return False
