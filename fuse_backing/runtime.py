"""`control_socket` returns the control socket of a mountpoint's server; `dead_stores` finds dead servers.

The sockets are in the first of these directories, mode 0700: /run/fuse-backing for root; for other users
$XDG_RUNTIME_DIR/fuse-backing, /run/user/UID/fuse-backing, or fuse-backing-UID in the directory for temporary
files. The name is made from the mountpoint's real path. It is short, since a unix socket's path has at most
107 bytes.
"""

import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path

from fuse_backing import mounts
from fuse_backing.errors import FuseBackingError

_SHOWN = 24

ROOTS = Path("/run/fuse-backing")
"""The directory of root's sockets, if /run exists."""

USERS = Path("/run/user")
"""The directories of users with a session: systemd makes one for each, named by the user's number."""


def runtime_directory() -> Path:
    """Return the directory of this user's sockets, which may not exist."""
    return _directories()[0]


def make_runtime_directory() -> Path:
    """Create the directory of this user's sockets if it is missing, and return it.

    Raises FuseBackingError if another user has access to it, or if it is a symbolic link.
    """
    directory = runtime_directory()
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise FuseBackingError(f"cannot create {directory}: {error.strerror}") from error
    if not _is_private(directory):
        raise FuseBackingError(
            f"{directory} must be a directory that this user owns, with mode 0700; to use another place, set "
            "XDG_RUNTIME_DIR to a directory of your own"
        )
    return directory


def control_socket(mountpoint: Path) -> Path:
    """Return the path of the control socket that a server of *mountpoint* has by default.

    If a server of this user has it in another directory, because its environment differs, return that path.
    """
    return control_socket_of_real(Path(os.path.realpath(mountpoint)))


def control_socket_of_real(real: Path) -> Path:
    """Return the default control socket of a mountpoint whose path is real already.

    This does not access the path, since its server may not answer.
    """
    readable = "".join(letter for letter in real.name if letter.isascii() and letter.isprintable())
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    name = f"{readable[:_SHOWN]}-{digest}.sock"
    usual = [directory / name for directory in _directories() if _is_private(directory)]
    existing = [path for path in usual if path.exists()]
    answering = next((path for path in existing if is_answered(path)), None) or _listening(name)
    return answering or next(iter(existing), runtime_directory() / name)


def log_file(mountpoint: Path) -> Path:
    """Return the path of the log of a background server."""
    return control_socket(mountpoint).with_suffix(".log")


def sockets() -> list[Path]:
    """Return the control sockets of this user's servers, dead ones included."""
    directories = [directory for directory in _directories() if _is_private(directory)]
    return sorted(path for directory in directories for path in directory.glob("*.sock"))


def is_answered(path: Path) -> bool:
    """Return whether a server listens on the socket at *path*."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # a stopped server accepts no more connections than its backlog
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # the backlog of a running server is full
        except OSError:
            return False
    return True


def dead_stores() -> list[Path]:
    """Return the mountpoints of this user's stores whose servers were killed; never wait for a running one.

    Only stores with the default control socket are found: the socket that a dead server left identifies it.
    """
    stores = [mount.mountpoint for mount in mounts.mounts() if mount.fstype == mounts.FSTYPE]
    return [mountpoint for mountpoint in stores if _is_dead(mountpoint)]


def _directories() -> list[Path]:
    """Return the places for this user's sockets, best first; only the last is sure to be usable."""
    user = os.geteuid()
    if user == 0 and ROOTS.parent.is_dir():
        return [ROOTS]
    chosen = os.environ.get("XDG_RUNTIME_DIR")
    bases = [*([Path(chosen)] if chosen else []), USERS / str(user)]
    # su keeps the variable of the user before; the basedir specification of freedesktop.org asks for one that
    # this user owns.
    own = dict.fromkeys(base / "fuse-backing" for base in bases if _owner(base) == user)
    return [*own, Path(tempfile.gettempdir(), f"fuse-backing-{user}")]


def _owner(directory: Path) -> int | None:
    try:
        status = directory.stat()
    except OSError:
        return None
    return status.st_uid if stat.S_ISDIR(status.st_mode) else None


def _is_private(directory: Path) -> bool:
    """Return whether *directory* is a real directory that only this user can use."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    mode = status.st_mode
    return stat.S_ISDIR(mode) and status.st_uid == os.geteuid() and not mode & 0o077


def _listening(name: str) -> Path | None:
    """Return the socket called *name* on which a server of this user listens in some other directory.

    The kernel lists them in /proc/net/unix: proc_net(5).
    """
    try:
        lines = Path("/proc/net/unix").read_bytes().splitlines()[1:]
    except OSError:
        return None
    paths = [Path(os.fsdecode(line.split(None, 7)[7])) for line in lines if b"/" in line]
    return next((path for path in paths if path.name == name and _is_own_socket(path)), None)


def _is_own_socket(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISSOCK(status.st_mode) and status.st_uid == os.geteuid()


def _is_dead(mountpoint: Path) -> bool:
    path = control_socket_of_real(mountpoint)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return mounts.health(mountpoint) is mounts.Health.STALE
        except OSError:
            return False
    return False
