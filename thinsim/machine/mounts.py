"""Mounts and unmounts with mount(8) and umount(8), each mount on record before it is made."""

import subprocess
from pathlib import Path

import trio

from fuse_backing.mounts import mount_on
from thinsim.errors import ConflictError, EnvironmentLacksError, ProgramFailedError
from thinsim.machine.journal import Journal, TakenKind

BUSY_TRIES = 20
"""How often a busy mount is unmounted, a tenth of a second apart, before it counts as a failure."""


class RecordedMounter:
    """Mounts file systems on directories that it makes, and takes both away again."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._entries: dict[Path, str] = {}

    async def mount(self, source: str, target: Path, fs_type: str, options: tuple[str, ...]) -> None:
        """Mount *source* on *target*, which is made.

        ProgramFailedError with mount's own words if it fails; ConflictError if *target* has a mount.
        """
        if target in self._entries:
            raise ConflictError(f"{target} has a mount already")
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
        """Unmount *target* and remove its directory. A target not mounted by this object raises KeyError."""
        entry = self._entries[target]
        with trio.CancelScope(shield=True):
            for attempt in range(BUSY_TRIES):
                try:
                    await run_shielded(["umount", str(target)])
                    break
                except ProgramFailedError:
                    if mount_on(target.resolve()) is None:
                        break  # somebody else was faster
                    if attempt == BUSY_TRIES - 1:
                        raise
                    await trio.sleep(0.1)
            target.rmdir()
            del self._entries[target]
            self._journal.end(entry)

    async def unmount_all(self) -> None:
        """Unmount what is still mounted, newest first."""
        for target in reversed(list(self._entries)):
            await self.unmount(target)


async def run_shielded(command: list[str]) -> str:
    """Run *command* to its end and return its output. ProgramFailedError with its own words if it fails."""
    # A mount or mkfs that is killed half way leaves unclear state; both end by themselves.
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
