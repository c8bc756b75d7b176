"""`unmount_store` ends a store's server, or removes the mount and files of a dead one."""

import errno
import os
import signal
from pathlib import Path

import trio

from fuse_backing import mounts, runtime
from fuse_backing.errors import ControlError, MountpointError
from fuse_backing.store_client import StoreClient

PATIENCE = 30.0
"""Seconds to wait for a server to end."""


async def unmount_store(mountpoint: Path, control: Path | None = None) -> str:
    """Unmount a store, and return a line that reports the result.

    Send SIGTERM to the server of a healthy mount and wait for its end. If no server answers on the control
    socket, unmount directly; the server then ends by itself. Detach a stale mount. Raises MountpointError,
    even for a mount that is not a fuse-backing store.
    """
    real = Path(os.path.realpath(mountpoint))
    mount = mounts.mount_on(real)
    if mount is None:
        raise mounts.no_store_on(mountpoint)
    if mount.fstype != mounts.FSTYPE:
        raise MountpointError(
            f"{mountpoint}: the mount there is {mount.fstype}, not a fuse-backing store; it stays mounted"
        )
    control = control or runtime.control_socket(real)
    if mounts.health(real) is mounts.Health.STALE:
        _unmount(mountpoint, lazy=True)
        await _remove_leftovers(control)
        return f"{mountpoint}: its server had died; the stale mount has been removed"
    pid = await _server(control, real)
    if pid is None:
        await trio.to_thread.run_sync(_unmount, mountpoint)
        return f"{mountpoint}: unmounted"
    await _terminate(pid, mountpoint)
    if mounts.mount_on(real) == mount:
        raise MountpointError(f"{mountpoint}: the server has ended but the mount is still there")
    return f"{mountpoint}: unmounted, server {pid} has ended"


async def _server(control: Path, real: Path) -> int | None:
    """Return the id of the process that serves *real*, if it answers and is in this process's namespace."""
    client = StoreClient(control)
    try:
        info = await client.ping()
        pid = await client.control.server_pid()
    except ControlError:
        return None
    return pid if pid > 0 and info.mountpoint == str(real) else None


async def _terminate(pid: int, mountpoint: Path) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        with trio.move_on_after(PATIENCE) as waiting:
            await trio.lowlevel.wait_readable(process)  # readable once the process has ended: pidfd_open(2)
        if waiting.cancelled_caught:
            raise MountpointError(
                f"{mountpoint}: its server {pid} has not ended in {PATIENCE:.0f} s after SIGTERM"
            )
    except ProcessLookupError:
        pass
    except PermissionError:
        raise MountpointError(f"{mountpoint}: its server {pid} belongs to another user") from None
    finally:
        os.close(process)


def _unmount(mountpoint: Path, lazy: bool = False) -> None:
    try:
        mounts.unmount(Path(os.path.realpath(mountpoint)), lazy=lazy)
    except OSError as error:
        hint = "; detach what uses it (losetup -a, fuser -m) first" if error.errno == errno.EBUSY else ""
        raise MountpointError(f"{mountpoint}: {error.strerror}{hint}") from error


async def _remove_leftovers(control: Path) -> None:
    """Remove a dead server's socket, and its log if that is empty."""
    try:
        await StoreClient(control).ping()
    except ControlError as error:
        if error.errno == errno.ECONNREFUSED:
            control.unlink(missing_ok=True)
            remove_if_empty(control.with_suffix(".log"))


def remove_if_empty(log: Path) -> None:
    """Remove a log if it is empty."""
    try:
        if log.stat().st_size == 0:
            log.unlink()
    except FileNotFoundError:
        pass
