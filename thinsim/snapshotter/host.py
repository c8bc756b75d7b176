"""A `SnapshotHost` does the work on a device outside of device-mapper: mkfs, discard, lost+found.

`LinuxHost` runs containerd's command lines. A rig without device nodes has its own implementation.
"""

import logging
from pathlib import Path
from typing import Protocol

import trio

from thinsim.errors import EnvironmentLacksError, InvalidValueError, ThinsimError
from thinsim.snapshotter.interface import Mount
from thinsim.snapshotter.stepped_discard import discard_in_steps

_log = logging.getLogger(__name__)

_PACKAGES = {
    "mkfs.ext2": "e2fsprogs",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "blkdiscard": "util-linux",
}


class CommandFailedError(ThinsimError):
    """A command has failed with the exit status *status*; *stderr* is its error output."""

    def __init__(self, command: tuple[str, ...], status: int, stderr: str) -> None:
        super().__init__(f"{' '.join(command)}: exit status {status}: {stderr.strip() or 'no error text'}")
        self.command = command
        self.status = status
        self.stderr = stderr


class SnapshotHost(Protocol):
    """A `SnapshotHost` makes file systems on devices and discards devices. It raises ThinsimErrors."""

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        """Make a file system on *device*; *fs_options* are mkfs's extended options (none for xfs)."""

    async def discard(self, device: Path, step: int | None = None) -> None:
        """Discard all of *device*, in steps of at most *step* bytes, or in one call if *step* is None."""

    async def remove_lost_and_found(self, mount: Mount) -> None:
        """Delete ``lost+found`` from the file system of *mount*. Never fails: nothing depends on it."""


class Mounter(Protocol):
    """A `Mounter` mounts and unmounts, and records each mount so that none stays after a crash."""

    async def mount(self, source: str, target: Path, fs_type: str, options: tuple[str, ...]) -> None:
        """Create the directory *target* and mount *source* on it."""

    async def unmount(self, target: Path) -> None:
        """Unmount *target* and remove the directory."""


class LinuxHost:
    """A `LinuxHost` works on device nodes, and needs root.

    It follows containerd ``plugins/snapshots/devmapper/snapshotter.go``. It mounts file systems briefly on
    directories beside *target* whose names begin with the name of *target*. It raises EnvironmentLacksError
    for a missing command, CommandFailedError for a failed one.
    """

    def __init__(self, mounts: Mounter, target: Path) -> None:
        self._mounts = mounts
        self._target = target

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        """Run ``mkfs.ext4 -E OPTIONS DEVICE``, the same with ``mkfs.ext2``, or ``mkfs.xfs DEVICE``."""
        await _run(*mkfs_command(device, fs_type, fs_options))

    async def discard(self, device: Path, step: int | None = None) -> None:
        """Run ``blkdiscard DEVICE``, or discard in steps of at most *step* bytes."""
        if step is None:
            await _run("blkdiscard", str(device))
        else:
            await discard_in_steps(device, step)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        """Mount the file system briefly and remove the directory; log any failure.

        containerd mounts every new snapshot once for this, even a view. A journalled file system writes when
        it is mounted, so skipping a mount that cannot remove anything would change the block counts.
        """
        try:
            # Several snapshots may be created at the same time.
            target = self._target.with_name(f"{self._target.name}-{Path(mount.source).name}")
            await self._mounts.mount(mount.source, target, mount.type, mount.options)
            try:
                # In a thread, because this process itself may serve the device.
                await trio.Path(target / "lost+found").rmdir()
            except OSError as error:
                _log.debug("could not remove lost+found on %s: %s", mount.source, error)
            finally:
                await self._mounts.unmount(target)
        except (ThinsimError, OSError) as error:
            _log.warning("could not mount %s to remove its lost+found: %s", mount.source, error)


def mkfs_command(device: Path, fs_type: str, fs_options: str) -> tuple[str, ...]:
    """Return containerd's command line. Raise InvalidValueError for an unknown file system type."""
    match fs_type:
        case "ext4" | "ext2":
            return (f"mkfs.{fs_type}", "-E", fs_options, str(device))
        case "xfs":
            return ("mkfs.xfs", str(device))
    raise InvalidValueError(f"file system type {fs_type!r} is not supported: use ext4, ext2 or xfs")


async def _run(*command: str) -> None:
    try:
        result = await trio.run_process(
            command,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            start_new_session=True,  # Ctrl-C must reach thinsim alone, which then ends the command
        )
    except FileNotFoundError as error:
        package = _PACKAGES[command[0]]
        raise EnvironmentLacksError(f"command {command[0]!r} not found: install {package}") from error
    if result.returncode != 0:
        raise CommandFailedError(command, result.returncode, result.stderr.decode(errors="replace"))
