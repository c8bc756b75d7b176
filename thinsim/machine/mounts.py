"""A `RecordedMounter` runs mount(8) and umount(8), and records each mount before it is made."""

import subprocess
from pathlib import Path

import trio

from fuse_backing.mounts import mount_on
from thinsim.errors import ConflictError, EnvironmentLacksError, ProgramFailedError
from thinsim.machine.journal import Journal, TakenKind

BUSY_TRIES = 20
"""Attempts to unmount a busy mount, a tenth of a second apart, before the unmounting fails."""


class RecordedMounter:
    """A `RecordedMounter` mounts file systems on directories that it makes; unmounting removes both."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._entries: dict[Path, str] = {}

    async def mount(self, source: str, target: Path, fs_type: str, options: tuple[str, ...]) -> None:
        """Make the directory *target* and mount *source* on it.

        Raises ProgramFailedError, with mount's output, if mount fails, and ConflictError if this object has
        mounted something on *target* already.
        """
        if target in self._entries:
            raise ConflictError(f"{target} is mounted already")
        entry = self._journal.begin(TakenKind.MOUNT, target=target, fs_type=fs_type)
        command = ["mount", "-t", fs_type]
        if options:
            command += ["-o", ",".join(options)]
        try:
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            await run_shielded([*command, source, str(target)])
        except BaseException:
            if target.is_dir():
                target.rmdir()
            self._journal.end(entry)
            raise
        self._entries[target] = entry
        mount = mount_on(target.resolve())
        if mount is not None:
            self._journal.amend(entry, device=mount.device)

    async def unmount(self, target: Path) -> None:
        """Unmount *target* and remove its directory. Raises KeyError if this object did not mount it."""
        entry = self._entries[target]
        with trio.CancelScope(shield=True):
            for attempt in range(BUSY_TRIES):
                try:
                    await run_shielded(["umount", str(target)])
                    break
                except ProgramFailedError:
                    if mount_on(target.resolve()) is None:
                        break  # another process has unmounted it
                    if attempt == BUSY_TRIES - 1:
                        raise
                    await trio.sleep(0.1)
            target.rmdir()
            del self._entries[target]
            self._journal.end(entry)

    async def unmount_all(self) -> None:
        """Unmount all remaining mounts, newest first."""
        for target in reversed(list(self._entries)):
            await self.unmount(target)


async def run_shielded(command: list[str]) -> str:
    """Run *command* to its end and return its output.

    Raises ProgramFailedError, with the output, if the command fails, and EnvironmentLacksError if it is not
    installed.
    """
    # A mount or mkfs that is killed half way leaves an unclear state; both finish without help.
    with trio.CancelScope(shield=True):
        try:
            done = await trio.run_process(
                command,
                capture_stdout=True,
                stderr=subprocess.STDOUT,
                check=False,
                start_new_session=True,  # Ctrl-C at the terminal must not reach it
            )
        except FileNotFoundError:
            raise EnvironmentLacksError(f"{command[0]} is not installed") from None
    output = done.stdout.decode(errors="replace").strip()
    if done.returncode:
        raise ProgramFailedError(f"{' '.join(command)}: exit status {done.returncode}: {output}")
    return output
