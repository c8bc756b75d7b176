"""`unmount_recorded` unmounts the mounts of a dead run, and no others, in bounded time."""

import errno
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fuse_backing.mounts import MountEntry, mount_on, mounts
from fuse_backing.system_calls import umount2
from thinsim.errors import KernelError

UNMOUNT_SECONDS = 10
"""Seconds that one umount(8) may take before it is killed."""

BUSY_SECONDS = 1
"""Seconds to wait for a busy mount before it is detached lazily."""

_MNT_FORCE = 1  # linux/fs.h

_SERVED = ("fuse.fuse_backing", "fuse.thinsim")
"""The file system types of our servers' mounts, whose entries name no type."""


def unmount_recorded(fields: dict[str, Any], report: Callable[[str], None]) -> None:
    """Undo a MOUNT entry: unmount the run's own mounts on its target, and remove the directory.

    Raises KernelError if the target, or a directory below it, carries another mount; that one stays.
    """
    target = Path(fields["target"])
    for mount in reversed(mounts_below(target)):
        if mount.mountpoint != target or not _is_recorded(mount, fields):
            raise KernelError(
                errno.EBUSY, f"{mount.mountpoint} has a mount that this run did not make ({mount.fstype})"
            )
        report(f"unmounting {target}")
        _unmount(target, mount)
    if target.is_dir() and not target.is_symlink():
        target.rmdir()


def abort_served(target: Path) -> None:
    """Cut the connection of the FUSE server that has mounted *target*, so that all requests fail at once.

    A server may be killed while one of its own threads waits for it, attaching a loop device to a file of
    its own. It can't end otherwise: the kernel keeps the connection until the last thread is gone.
    """
    mount = mount_on(target)
    if mount is not None and mount.fstype in _SERVED:
        with suppress(OSError):  # EBUSY: aborted (fs/fuse/inode.c, fuse_umount_begin), but still mounted
            umount2(target, _MNT_FORCE)


def mounts_below(path: Path) -> list[MountEntry]:
    """Return the mounts at and below *path*, in the order in which they were mounted."""
    return [mount for mount in mounts() if mount.mountpoint.is_relative_to(path)]


def _is_recorded(mount: MountEntry, fields: dict[str, Any]) -> bool:
    if "device" in fields:
        return bool(mount.device == fields["device"])
    if "fs_type" in fields:
        return bool(mount.fstype == fields["fs_type"])
    return mount.fstype in _SERVED


def _unmount(target: Path, mount: MountEntry) -> None:
    def is_gone() -> bool:
        return mount_on(target) != mount

    answer: bool | None = False
    deadline = time.monotonic() + BUSY_SECONDS
    while answer is False and not is_gone() and time.monotonic() < deadline:
        answer = _umount(target)
        if answer is False:
            time.sleep(0.05)
    if is_gone():
        return
    # The mount is busy, or its server is gone or hangs. Detach it lazily: it goes with its last user.
    _umount("-l", target)
    if not is_gone():
        raise KernelError(errno.EBUSY, f"cannot unmount {target}")


def _umount(*arguments: str | Path) -> bool | None:
    """Run umount; return False if it failed, None if it waits for a device that does not answer."""
    process = subprocess.Popen(
        ["umount", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C at the terminal must not reach it
    )
    try:
        return process.wait(UNMOUNT_SECONDS) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        # It can't end before its device answers. The thread reaps it then.
        threading.Thread(target=process.wait, daemon=True).start()
        return None
