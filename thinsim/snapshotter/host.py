"""Does to a device what a snapshotter does outside of device-mapper: mkfs, discard, lost+found.

``LinuxHost`` runs containerd's command lines. A rig without device nodes brings its own.
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
    """A command of the host ended with a non-zero *status*; *stderr* is what it said."""

    def __init__(self, command: tuple[str, ...], status: int, stderr: str) -> None:
        super().__init__(f"{' '.join(command)}: exit status {status}: {stderr.strip() or 'no error text'}")
        self.command = command
        self.status = status
        self.stderr = stderr


class SnapshotHost(Protocol):
    """The host's side of a device. Failures are ThinsimErrors."""

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        """Make a file system on *device*; *fs_options* are mkfs's extended options (none for xfs)."""

    async def discard(self, device: Path, step: int | None = None) -> None:
        """Discard all of *device*, in steps of at most *step* bytes or at once."""

    async def remove_lost_and_found(self, mount: Mount) -> None:
        """Delete ``lost+found`` from the file system of *mount*. Never fails: nothing depends on it."""


class Mounter(Protocol):
    """Mounts and unmounts, recorded so that nothing stays mounted after a crash."""

    async def mount(self, source: str, target: Path, fs_type: str, options: tuple[str, ...]) -> None:
        """Mount *source* on the directory *target*, which is made."""

    async def unmount(self, target: Path) -> None:
        """Unmount *target* and remove the directory."""


class LinuxHost:
    """A SnapshotHost on device nodes; needs root. containerd ``plugins/snapshots/devmapper/snapshotter.go``.

    File systems are mounted for a moment on directories beside *target*, whose names begin with its name.

    EnvironmentLacksError where a command is missing, CommandFailedError where one fails.
    """

    def __init__(self, mounts: Mounter, target: Path) -> None:
        self._mounts = mounts
        self._target = target

    async def make_filesystem(self, device: Path, fs_type: str, fs_options: str) -> None:
        """Run ``mkfs.ext4 -E OPTIONS DEVICE``, the same with ext2, or ``mkfs.xfs DEVICE``."""
        await _run(*mkfs_command(device, fs_type, fs_options))

    async def discard(self, device: Path, step: int | None = None) -> None:
        """Run ``blkdiscard DEVICE``; where steps are wanted, discard in steps of *step* bytes and less."""
        if step is None:
            await _run("blkdiscard", str(device))
        else:
            await discard_in_steps(device, step)

    async def remove_lost_and_found(self, mount: Mount) -> None:
        """Mount it for a moment to remove the directory; what goes wrong is logged.

        containerd mounts every new snapshot once for this, views too, and a journalled file system
        writes when it is mounted: leaving it out where nothing can be removed would change block counts.
        """
        try:
            # Several snapshots may be made at the same time.
            target = self._target.with_name(f"{self._target.name}-{Path(mount.source).name}")
            await self._mounts.mount(mount.source, target, mount.type, mount.options)
            try:
                # In a thread: the device may be served by this very process.
                await trio.Path(target / "lost+found").rmdir()
            except OSError as error:
                _log.debug("lost+found stays on %s: %s", mount.source, error)
            finally:
                await self._mounts.unmount(target)
        except (ThinsimError, OSError) as error:
            _log.warning("could not mount %s to remove its lost+found: %s", mount.source, error)


def mkfs_command(device: Path, fs_type: str, fs_options: str) -> tuple[str, ...]:
    """Return the command line that containerd runs. InvalidValueError for a type it does not know."""
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
            start_new_session=True,  # Ctrl-C at the terminal is for thinsim, which ends the command
        )
    except FileNotFoundError as error:
        package = _PACKAGES[command[0]]
        raise EnvironmentLacksError(f"command {command[0]!r} not found: install {package}") from error
    if result.returncode != 0:
        raise CommandFailedError(command, result.returncode, result.stderr.decode(errors="replace"))
