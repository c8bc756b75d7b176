"""`find_store` finds the server that a command line names, and explains why there is none."""

import os
import pwd
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fuse_backing import mounts, runtime
from fuse_backing.errors import MountpointError, ServerGoneError, StaleMountError

_USER = re.compile(r"(?:^|,)user_id=(\d+)")


def find_store(mountpoint: Path) -> Path:
    """Return the control socket of the store on *mountpoint*.

    Raises MountpointError, which names the fix, if no store is mounted there, if the path is inside a store
    or is the directory that one serves, and if another user has mounted it.
    """
    mount = mounts.find_mount(mountpoint)
    if mount is not None and mount.fstype == mounts.FSTYPE:
        _check_owner(mountpoint, mount)
        return runtime.control_socket(mountpoint)
    usual = runtime.control_socket(mountpoint)
    if usual.exists() and runtime.is_answered(usual):
        return usual  # the server is in another mount namespace, or is about to end
    raise _no_store(mountpoint)


def only_store() -> Path:
    """Return the control socket of the only running server of this user. Raises MountpointError."""
    running = [path for path in runtime.sockets() if runtime.is_answered(path)]
    if len(running) == 1:
        return running[0]
    mountpoints = _mountpoints()
    if not running and not mountpoints:
        raise MountpointError(
            "No fuse-backing server is running. To start one, run: fuse-backing mount DIRECTORY MOUNTPOINT"
        )
    if not running:
        raise MountpointError(
            f"No fuse-backing server of this user answers. Name the mountpoint: {', '.join(mountpoints)}"
        )
    there = f": {', '.join(mountpoints)}" if mountpoints else " or --control SOCKET"
    raise MountpointError(f"{len(running)} fuse-backing servers are running; name a MOUNTPOINT{there}")


@contextmanager
def explained(mountpoint: Path | None) -> Iterator[None]:
    """Explain a server of *mountpoint* that does not answer. Raises MountpointError in its place."""
    try:
        yield
    except ServerGoneError:
        if mountpoint is None:
            raise
        mount = mounts.find_mount(mountpoint)
        if mount is None or mount.fstype != mounts.FSTYPE:
            raise MountpointError(
                f"{mountpoint}: the store on it has ended; to mount it again, run: fuse-backing mount "
                f"DIRECTORY {mountpoint}"
            ) from None
        if mounts.health(mountpoint) is mounts.Health.STALE:
            raise StaleMountError(mountpoint) from None
        raise MountpointError(
            f"{mountpoint}: its server does not answer on {runtime.control_socket(mountpoint)}; if it was "
            "mounted with --control, name that socket"
        ) from None


def _check_owner(mountpoint: Path, mount: mounts.MountEntry) -> None:
    found = _USER.search(mount.super_options)
    owner = os.geteuid() if found is None else int(found[1])
    if owner != os.geteuid():
        raise MountpointError(
            f"{mountpoint}: {_user_name(owner)} has mounted this store, and only that user can ask it"
        )


def _user_name(user: int) -> str:
    try:
        return f"user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"user {user}"


def _no_store(path: Path) -> MountpointError:
    """Return the error about a path without a store: it is inside one, is served by one, or is neither."""
    real = Path(os.path.realpath(path))
    for mount in mounts.mounts():
        if mount.fstype == mounts.FSTYPE and real.is_relative_to(mount.mountpoint):
            return MountpointError(
                f"{path}: this path is inside the store on {mount.mountpoint}; name that mountpoint"
            )
        if mount.fstype == mounts.FSTYPE and mount.source == str(real):
            return MountpointError(
                f"{path}: this is the directory of the store on {mount.mountpoint}; name that mountpoint"
            )
    return mounts.no_store_on(path)


def _mountpoints() -> list[str]:
    return [str(mount.mountpoint) for mount in mounts.mounts() if mount.fstype == mounts.FSTYPE]
