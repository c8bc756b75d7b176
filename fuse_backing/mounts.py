"""`MountEntry` is a mount of this process's namespace, by /proc/self/mountinfo; see proc(5)."""

import errno
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from fuse_backing.errors import MountpointError, StaleMountError
from fuse_backing.system_calls import MNT_DETACH, umount2

SUBTYPE = "fuse_backing"
FSTYPE = f"fuse.{SUBTYPE}"

_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountEntry:
    """A `MountEntry` is a line of /proc/self/mountinfo: one mount in this process's namespace."""

    mount_id: int
    parent_id: int
    device: str
    """``major:minor``; for FUSE the minor is also the name in /sys/fs/fuse/connections."""
    root: str
    mountpoint: Path
    options: str
    fstype: str
    source: str
    super_options: str


class Health(Enum):
    """A `Health` shows whether a mount's server is alive."""

    HEALTHY = "healthy"
    STALE = "stale"
    """A FUSE mount whose server has died: ENOTCONN (or ECONNABORTED, when aborted)."""


def unescape(field: bytes) -> str:
    """Undo mountinfo's octal escapes of space, tab, newline and backslash (fs/proc_namespace.c, mangle)."""
    return os.fsdecode(_ESCAPE.sub(lambda found: bytes([int(found[1], 8)]), field))


def parse_mountinfo(content: bytes) -> list[MountEntry]:
    """Read the lines of mountinfo, in the order of the mounts. Raises ValueError."""
    mounts = []
    for line in content.splitlines():
        fields = line.split(b" ")
        try:
            separator = fields.index(b"-", 6)
            fstype, source, super_options = fields[separator + 1 : separator + 4]
            mounts.append(
                MountEntry(
                    mount_id=int(fields[0]),
                    parent_id=int(fields[1]),
                    device=fields[2].decode(),
                    root=unescape(fields[3]),
                    mountpoint=Path(unescape(fields[4])),
                    options=unescape(fields[5]),
                    fstype=unescape(fstype),
                    source=unescape(source),
                    super_options=unescape(super_options),
                )
            )
        except (ValueError, IndexError) as error:
            raise ValueError(f"not a line of mountinfo: {line!r}") from error
    return mounts


def mounts() -> list[MountEntry]:
    """Return all mounts of this process's namespace."""
    return parse_mountinfo(Path("/proc/self/mountinfo").read_bytes())


def mount_on(mountpoint: Path) -> MountEntry | None:
    """Return the topmost mount on a real path, or None; read only /proc, so never block."""
    return next((mount for mount in reversed(mounts()) if mount.mountpoint == mountpoint), None)


def find_mount(path: Path) -> MountEntry | None:
    """Return the topmost mount whose mountpoint is *path*, or None. Follows symbolic links."""
    return mount_on(Path(os.path.realpath(path)))


def mount_of(path: Path, among: Sequence[MountEntry] | None = None) -> MountEntry | None:
    """Return the mount that a real path is on, or None; read only /proc, so never block.

    *among* are the mounts to choose from; None means those of this process's namespace.
    """
    found = mounts() if among is None else among
    around = [mount for mount in found if path.is_relative_to(mount.mountpoint)]
    # The last one of a place is on top.
    return max(reversed(around), key=lambda mount: len(mount.mountpoint.parts), default=None)


def unmount(mountpoint: Path, *, lazy: bool = False) -> None:
    """Unmount the topmost mount on *mountpoint*; *lazy* detaches it at once, even if it is in use.

    This blocks until the file system's server answers. Raises OSError, EBUSY if the mount is in use.
    """
    if os.geteuid() == 0:
        umount2(mountpoint, MNT_DETACH if lazy else 0)
        return
    # Only fusermount3 (setuid) may unmount for an ordinary user. It prints its reason, but returns no errno.
    # Its usual failure is a busy mount.
    command = ["fusermount3", "-u", *(["-z"] if lazy else []), "--", str(mountpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = "; ".join(done.stderr.splitlines()) or "fusermount3 gave no reason"
        raise OSError(errno.EBUSY, f"could not unmount {mountpoint}: {reason}")


def health(path: Path) -> Health:
    """Return whether *path* answers. Raises OSError for any other failure, including FileNotFoundError."""
    try:
        path.stat()
    except OSError as error:
        if error.errno in (errno.ENOTCONN, errno.ECONNABORTED):
            return Health.STALE
        raise
    return Health.HEALTHY


def no_store_on(path: Path) -> MountpointError:
    """Return the error that no store is mounted on *path*, with the places of those that are mounted."""
    there = [str(mount.mountpoint) for mount in mounts() if mount.fstype == FSTYPE]
    fix = (
        f"Stores are mounted on: {', '.join(there)}"
        if there
        else f"To mount one, run: fuse-backing mount DIRECTORY {path}"
    )
    return MountpointError(f"{path}: no fuse-backing store is mounted there. {fix}")


def check_mountpoint(path: Path) -> Path:
    """Return the real path of a directory that can be a mountpoint.

    Raises MountpointError if it is missing, not a directory, or a mountpoint already, and StaleMountError if
    the mount of a dead server is there.
    """
    try:
        if health(path) is Health.STALE:
            raise StaleMountError(path)
    except FileNotFoundError:
        raise MountpointError(f"{path}: no such directory to mount on; create it first") from None
    except OSError as error:
        raise MountpointError(f"{path}: {error.strerror}") from error
    if not path.is_dir():
        raise MountpointError(f"{path}: not a directory")
    mount = find_mount(path)
    if mount is not None:
        raise MountpointError(
            f"{path}: {mount.source} ({mount.fstype}) is already mounted there; choose another mountpoint"
        )
    return Path(os.path.realpath(path))
